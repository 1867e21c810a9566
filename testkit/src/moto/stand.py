"""Serves S3 and IAM on a free port, and does what its standard input says: one call in JSON a line, one answer each.
Ends with its input, so it does not outlive who started it."""

import json
import os
import sys

# The first calls make a key; from then on signatures are checked and policies hold.
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "3"

import logging  # noqa: E402

import boto3  # noqa: E402
from moto.moto_server.werkzeug_app import DomainDispatcherApplication  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402

logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
REGION = "eu-central-1"
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}

answer_plainly = DomainDispatcherApplication.__call__


def answer(app, environ, start_response):
    """A bucket that locks asks for a checksum. S3 takes it by its own header; moto looks for the one that SDKs add."""
    if "HTTP_X_AMZ_CHECKSUM_SHA256" in environ:
        environ.setdefault("HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM", "SHA256")
    return answer_plainly(app, environ, start_response)


DomainDispatcherApplication.__call__ = answer


def serve(port):
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    return server


def client(kind, port, key="none", secret="none"):
    return boto3.client(
        kind,
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name=REGION,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )


def plain(value):
    return value.read().hex() if hasattr(value, "read") else str(value)


def main():
    server = serve(0)
    port = server.get_host_and_port()[1]
    iam = client("iam", port)
    iam.create_user(UserName="belay")
    made = iam.create_access_key(UserName="belay")["AccessKey"]
    key, secret = made["AccessKeyId"], made["SecretAccessKey"]
    iam.put_user_policy(UserName="belay", PolicyName="everything", PolicyDocument=json.dumps(EVERYTHING))
    s3, iam = client("s3", port, key, secret), client("iam", port, key, secret)
    print(json.dumps({"port": port, "key": key, "secret": secret, "region": REGION}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        verb, words = order["call"], order.get("with", {})
        try:
            if verb == "stop":
                server.stop()
                answer = None
            elif verb == "start":
                server = serve(port)
                answer = None
            elif verb == "put_user_policy":
                answer = iam.put_user_policy(UserName="belay", **words)
            else:
                if "Body" in words:
                    words["Body"] = bytes.fromhex(words["Body"])
                answer = getattr(s3, verb)(**words)
            print(json.dumps({"ok": answer}, default=plain), flush=True)
        except Exception as error:
            print(json.dumps({"error": str(error)}), flush=True)


main()
