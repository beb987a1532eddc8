#!/usr/bin/env python3
"""Verifies a FlashGuard journal export as docs/journal-format.md describes it.

usage: verify_export.py EXPORT [VERIFIER_KEY]

Python's standard library only; it has no Ed25519, so `openssl` (3 or later) checks the signatures.
"""
import base64, hashlib, json, subprocess, sys, tempfile

def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()

def fail(why):
    sys.exit(f"DIFFERENT: {why}")

def signed(key, text, signature):
    with tempfile.TemporaryDirectory() as folder:
        files = {"key": bytes.fromhex("302a300506032b6570032100") + key, "text": text, "sig": signature}
        for name, data in files.items():
            open(f"{folder}/{name}", "wb").write(data)
        return subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", f"{folder}/key",
             "-rawin", "-in", f"{folder}/text", "-sigfile", f"{folder}/sig"],
            capture_output=True).returncode == 0

lines = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8", newline="\n")]
begin, body, end = lines[0], lines[1:-1], lines[-1]
if (begin["format"], begin["version"]) != ("flashguard-journal-export", 1):
    fail("not an export of version 1")
vkey = sys.argv[2] if len(sys.argv) > 2 else begin["verifier_key"]
name, key_id, key = vkey.split("+", 2)
key = base64.b64decode(key)
if vkey != begin["verifier_key"] or name != begin["origin"] or key[0] != 1:
    fail("another key or origin")
if sha256(name.encode(), b"\n", key)[:4].hex() != key_id:
    fail("the key's id")
edge, size, last_time, covered = [], 0, -1, 0      # edge: (leaves, hash) of the complete subtrees

def root():
    if not edge:
        return sha256()
    hash_ = edge[-1][1]
    for _, left in reversed(edge[:-1]):
        hash_ = sha256(b"\x01", left, hash_)
    return hash_

for line in body:
    if "checkpoint" in line:
        text, signatures = line["checkpoint"].split("\n\n")
        origin, count, hash_ = text.split("\n")[:3]
        blobs = [base64.b64decode(s.split(" ")[2]) for s in signatures.splitlines() if s.split(" ")[1] == name]
        if not any(b[:4].hex() == key_id and signed(key[1:], (text + "\n").encode(), b[4:]) for b in blobs):
            fail(f"the signature after record {size}")
        if (origin, int(count), base64.b64decode(hash_)) != (name, size, root()):
            fail(f"the checkpoint after {size} records")
        covered = size
        continue
    header, payload = json.loads(line["header"]), line.get("payload", "").encode()
    inner = sha256(bytes.fromhex(line.get("salt", "")), payload)
    if inner.hex() != line.get("commitment", sha256().hex()):
        fail(f"the payload of record {size}")
    if header["seq"] != size or header["time_us"] <= last_time:
        fail(f"the place of record {size}")
    size, last_time = size + 1, header["time_us"]
    edge.append((1, sha256(b"\x00", line["header"].encode(), inner)))
    while len(edge) > 1 and edge[-2][0] == edge[-1][0]:
        (n, right), (_, left) = edge.pop(), edge.pop()
        edge.append((2 * n, sha256(b"\x01", left, right)))
if (begin["records"], end["end"], end["root"]) != (size, size, root().hex()):
    fail("the end")
print(f"verified: {size} records, {covered} of them signed, root {root().hex()}")
