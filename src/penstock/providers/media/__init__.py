"""What models do beside chat: embeddings, images, transcription and speech, in the OpenAI surface's terms.

`asked.py` has what a caller asks, `plans.py` what a family makes of it, and one module for each family of wires
(`openai.py`, `gemini.py`, `bedrock.py`) the translation itself. All of it is pure: keys, retries and connections are
those of every other call (`provider.py`), which meets these translations as it meets a chat's.
"""
