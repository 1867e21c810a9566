"""A client that costs little: TLS, SCRAM-SHA-256, one simple query at a time, results counted and thrown away.
pgbench cannot hold idle sessions, and psql keeps or formats what it reads. It is no driver: errors end it."""

import base64
import hashlib
import hmac
import os
import socket
import ssl
import struct

READY = b"Z\0\0\0\5I"
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
SECONDS = 60
CHUNK = 1 << 18


class Client:
    def __init__(self, target):
        self.target = target
        self.socket = socket.create_connection(("127.0.0.1", target.port), SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if target.tls:
            self.socket.sendall(SSL_REQUEST)
            if self.socket.recv(1) != b"S":
                raise OSError("TLS was refused")
            context = ssl.create_default_context(cafile=target.ca)
            self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")
        words = (b"user", target.user.encode(), b"database", target.database.encode())
        body = struct.pack("!i", 196608) + b"".join(word + b"\0" for word in words) + b"\0"
        self.socket.sendall(struct.pack("!i", len(body) + 4) + body)
        self.log_in()

    def close(self):
        try:
            self.send(b"X", b"")
        finally:
            self.socket.close()

    def query(self, sql):
        """Sends one statement and reads to ReadyForQuery; the bytes received."""
        self.send(b"Q", sql.encode() + b"\0")
        received, tail, view = 0, b"", memoryview(bytearray(CHUNK))
        while tail != READY:
            length = self.socket.recv_into(view)
            if length == 0:
                raise OSError("closed by the server")
            if received == 0 and view[:1] == b"E":
                raise OSError(bytes(view[:length]).replace(b"\0", b" ").decode(errors="replace"))
            received += length
            tail = (tail + bytes(view[max(0, length - len(READY)) : length]))[-len(READY) :]
        return received

    def send(self, kind, body):
        self.socket.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def take(self, length):
        taken = b""
        while len(taken) < length:
            part = self.socket.recv(length - len(taken))
            if not part:
                raise OSError("closed by the server")
            taken += part
        return taken

    def message(self):
        kind, length = struct.unpack("!ci", self.take(5))
        return kind, self.take(length - 4)

    def log_in(self):
        while True:
            kind, body = self.message()
            if kind == b"E":
                raise OSError(body.replace(b"\0", b" ").decode(errors="replace"))
            if kind == b"Z":
                return
            if kind == b"R" and body[:4] == struct.pack("!i", 10):
                self.scram()

    def scram(self):
        """RFC 5802 without channel binding."""
        bare = "n=,r=" + base64.b64encode(os.urandom(18)).decode()
        first = ("n,," + bare).encode()
        self.send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first)
        kind, body = self.message()
        if kind != b"R" or body[:4] != struct.pack("!i", 11):
            raise OSError("no challenge: " + body.replace(b"\0", b" ").decode(errors="replace"))
        challenge = body[4:].decode()
        parts = dict(part.split("=", 1) for part in challenge.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", self.target.password.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        last = f"c=biws,r={parts['r']}"
        signature = hmac.digest(hashlib.sha256(client_key).digest(), f"{bare},{challenge},{last}".encode(), "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature, strict=True))).decode()
        self.send(b"p", f"{last},p={proof}".encode())
