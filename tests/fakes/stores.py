"""Clouds for files: moto's S3 and Azurite, each as a process of its own with an empty bucket or container.

Both check who asks: requests with another key or a wrong signature are refused as the clouds refuse them.
"""

import base64
import hashlib
import hmac
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import httpx

from tests.node_packages import install
from tests.service import free_port

BUCKET = "penstock-files"
REGION = "us-east-1"
ACCOUNT = "devstoreaccount1"
# Azurite's own, the same in every installation (github.com/Azure/Azurite, "Default Storage Account").
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_NODE = Path(__file__).parent / "node"
_BLOB_SERVICE = _NODE / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
_WITHIN_S = 100.0


@contextmanager
def running_s3() -> Iterator[dict[str, str]]:
    """`STORAGE_*` of an S3 server with an empty bucket, and of a user who may do everything in it."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url + "/moto-api/", process)
        key = _s3_user(url)
        yield {
            "STORAGE_DRIVER": "s3",
            "STORAGE_ENDPOINT": url,
            "STORAGE_REGION": REGION,
            "STORAGE_BUCKET": BUCKET,
            "STORAGE_ACCESS_KEY_ID": key["AccessKeyId"],
            "STORAGE_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }
    finally:
        process.terminate()
        process.wait(10)


def s3_client(env: Mapping[str, str], service: str = "s3") -> Any:
    import boto3

    return boto3.client(
        service,
        endpoint_url=env["STORAGE_ENDPOINT"],
        region_name=REGION,
        aws_access_key_id=env["STORAGE_ACCESS_KEY_ID"],
        aws_secret_access_key=env["STORAGE_SECRET_ACCESS_KEY"],
    )


def s3_unfinished(env: Mapping[str, str]) -> list[str]:
    """The keys of uploads that are neither completed nor aborted."""
    found = s3_client(env).list_multipart_uploads(Bucket=env["STORAGE_BUCKET"])
    return [upload["Key"] for upload in found.get("Uploads", [])]


@contextmanager
def running_azurite() -> Iterator[dict[str, str]]:
    """`STORAGE_*` of an Azure account with an empty container. Skips the test where npm has no packages."""
    install(_NODE, _WITHIN_S)
    port = free_port()
    options = ["--inMemoryPersistence", "--skipApiVersionCheck", "--silent", "--disableTelemetry"]
    command = ["node", str(_BLOB_SERVICE), "--blobHost", "127.0.0.1", "--blobPort", str(port), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        _wait_for_line(process, "successfully listens")
        env = {
            "STORAGE_DRIVER": "azure",
            "STORAGE_ENDPOINT": f"http://127.0.0.1:{port}/{ACCOUNT}",
            "STORAGE_ACCOUNT_NAME": ACCOUNT,
            "STORAGE_ACCOUNT_KEY": ACCOUNT_KEY,
            "STORAGE_CONTAINER": BUCKET,
        }
        _azure(env, "PUT", {"restype": "container"})
        yield env
    finally:
        process.terminate()
        process.communicate(timeout=10)


def azure_blobs(env: Mapping[str, str]) -> dict[str, bool]:
    """Names in the container, and whether there is a content: False for what is only uncommitted blocks."""
    query = {"comp": "list", "include": "uncommittedblobs", "restype": "container"}
    listed = ElementTree.fromstring(_azure(env, "GET", query))
    return {
        blob.findtext("Name", ""): blob.findtext("Properties/Content-MD5") is not None
        or blob.findtext("Properties/Content-Length") not in {"0", None}
        for blob in listed.iter("Blob")
    }


def _azure(env: Mapping[str, str], method: str, query: Mapping[str, str]) -> str:
    """Of the container, signed with the account's key (learn.microsoft.com, "Authorize with Shared Key")."""
    account, container = env["STORAGE_ACCOUNT_NAME"], env["STORAGE_CONTAINER"]
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-12-02"}
    named = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
    asked = "".join(f"\n{name}:{value}" for name, value in sorted(query.items()))
    text = method + "\n" * 12 + named + f"/{account}/{account}/{container}{asked}"
    key = base64.b64decode(env["STORAGE_ACCOUNT_KEY"])
    signature = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()
    headers["Authorization"] = f"SharedKey {account}:{signature}"
    url = f"{env['STORAGE_ENDPOINT']}/{container}?{urlencode(query)}"
    answer = httpx.request(method, url, headers=headers)
    assert answer.is_success, answer.text
    return answer.text


def _s3_user(url: str) -> dict[str, str]:
    """Make the bucket, and a user with a policy; from then on every request must be signed by somebody known."""
    nobody = {"STORAGE_ENDPOINT": url, "STORAGE_ACCESS_KEY_ID": "any", "STORAGE_SECRET_ACCESS_KEY": "any"}
    s3_client(nobody).create_bucket(Bucket=BUCKET)
    iam = s3_client(nobody, "iam")
    iam.create_user(UserName="penstock")
    policy = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
    iam.put_user_policy(UserName="penstock", PolicyName="files", PolicyDocument=policy)
    key: dict[str, str] = iam.create_access_key(UserName="penstock")["AccessKey"]
    httpx.post(url + "/moto-api/reset-auth", content="0").raise_for_status()
    return key


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _WITHIN_S
    while True:
        try:
            httpx.get(url)
            return
        except httpx.TransportError:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, f"nobody answers at {url}"
            time.sleep(0.05)


def _wait_for_line(process: "subprocess.Popen[str]", words: str) -> None:
    assert process.stdout is not None
    deadline = time.monotonic() + _WITHIN_S
    while select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
        line = process.stdout.readline()
        assert line, "the server ended"
        if words in line:
            return
    raise AssertionError(f"the server did not say `{words}`")
