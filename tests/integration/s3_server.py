"""A real S3 server for tests and benchmarks: Ceph's RADOS gateway on the loopback, without root.

Debian's packages are unpacked into a folder of the user's own; nothing is installed in the system.
One monitor, one OSD that keeps objects in memory, one gateway: about 130 MB, 2 s to start.
``TAV_S3_PREFIX`` names the folder (default: ``.cache/s3-ceph`` of the checkout, 230 MB).
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from tests.integration.s3_install import environment, install

_START_SECONDS = 60
_STOP_SECONDS = 15
REGION = "us-east-1"

CONF = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon_port}/0]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr1 = false
# One host, loopback only: the daemons trust each other. S3 requests are signed and checked.
auth cluster required = none
auth service required = none
auth client required = none
keyring = /dev/null
ms mon client mode = crc
ms mon service mode = crc
ms mon cluster mode = crc
# A map change takes 1 s by default, and a start needs ten of them.
paxos propose interval = 0.05
paxos min wait = 0.01
objecter tick interval = 0.5
run dir = {data}/run
admin socket =
crash dir = {data}/run
log file = {data}/log/$name.log
mon cluster log file = {data}/log/cluster.log
osd class dir = {libraries}/rados-classes
erasure code dir = {libraries}/ceph/erasure-code
plugin dir = {libraries}/ceph
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd crush initial weight = 1
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail warn = 1
mon data avail crit = 1
[mon]
mon data = {data}/mon
[osd]
osd data = {data}/osd
osd objectstore = memstore
memstore device bytes = 4G
# A killed gateway's watch lapses after 5 s, not 30: bucket creations wait for it.
osd client watch timeout = 5
[client.rgw]
rgw data = {data}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw mime types file = {data}/mime.types
"""

# The monitor has to be told of the OSD. librados by ctypes, in a process of its own, spares
# Ceph's own Python.
MON_COMMAND = """
import ctypes, sys
rados, cluster = ctypes.CDLL("librados.so.2"), ctypes.c_void_p()
def check(code):
    if code < 0: sys.exit(f"librados: {code}")
check(rados.rados_create(ctypes.byref(cluster), b"admin"))
check(rados.rados_conf_read_file(cluster, sys.argv[1].encode()))
check(rados.rados_conf_set(cluster, b"client_mount_timeout", b"30"))
check(rados.rados_connect(cluster))
command = (ctypes.c_char_p * 1)(sys.argv[2].encode())
out, size, status, length = (ctypes.c_char_p(), ctypes.c_size_t(),
                             ctypes.c_char_p(), ctypes.c_size_t())
check(rados.rados_mon_command(cluster, command, 1, b"", 0, ctypes.byref(out), ctypes.byref(size),
                              ctypes.byref(status), ctypes.byref(length)))
rados.rados_shutdown(cluster)
"""


class S3Server:
    """One server with its data in a folder of its own."""

    def __init__(self, prefix: Path, data: Path) -> None:
        self._prefix, self._data = prefix, data
        self._conf = data / "ceph.conf"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._port, self._mon_port = _free_port(), _free_port()
        self._fsid = str(uuid.uuid4())
        self._access_key, self._secret_key = secrets.token_hex(8), secrets.token_hex(20)

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs in its environment."""
        return {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self._port}",
            "AWS_ACCESS_KEY_ID": self._access_key,
            "AWS_SECRET_ACCESS_KEY": self._secret_key,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        """A boto3 client of the test's own, apart from the project's."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL_S3"],
            aws_access_key_id=self._access_key,
            aws_secret_access_key=self._secret_key,
            region_name=REGION,
        )

    def reader(self, bucket: str) -> dict[str, str]:
        """Credentials, as environment variables, that may read a bucket and not write to it."""
        name, secret = f"reader{secrets.token_hex(4)}", secrets.token_hex(20)
        keys = (f"--access-key={name}", f"--secret-key={secret}")
        self._run("radosgw-admin", "user", "create", f"--uid={name}", "--display-name=r", *keys)
        place = f"arn:aws:s3:::{bucket}"
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": [f"arn:aws:iam:::user/{name}"]},
            "Action": ["s3:GetObject", "s3:ListBucket"],
            "Resource": [place, f"{place}/*"],
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.client().put_bucket_policy(Bucket=bucket, Policy=policy)
        return {"AWS_ACCESS_KEY_ID": name, "AWS_SECRET_ACCESS_KEY": secret}

    def new_key(self) -> str:
        """One more access key of the user that has all rights; its secret is ``of-`` and itself."""
        key = f"key{secrets.token_hex(6)}"
        self._run(
            *("radosgw-admin", "key", "create", "--uid=test", "--key-type=s3"),
            *(f"--access-key={key}", f"--secret-key=of-{key}"),
        )
        return key

    def forget_key(self, key: str) -> None:
        """Let an access key be good no more."""
        self._run("radosgw-admin", "key", "rm", "--uid=test", f"--access-key={key}")

    def start(self) -> None:
        """Make the cluster and wait until it takes a first object."""
        for name in ("mon", "osd", "rgw", "run", "log"):
            (self._data / name).mkdir(parents=True)
        (self._data / "mime.types").write_text("video/mp4 mp4\n")
        classes = next((self._prefix / "usr/lib").glob("*-linux-gnu*/rados-classes"))
        values = {"fsid": self._fsid, "mon_port": self._mon_port, "port": self._port}
        self._conf.write_text(CONF.format(**values, data=self._data, libraries=classes.parent))
        monitor = ("--addv", "a", f"[v2:127.0.0.1:{self._mon_port}/0]")
        monmap = str(self._data / "monmap")
        features = ("--enable-all-features", "--fsid", self._fsid)
        self._run("monmaptool", "--create", *features, *monitor, monmap)
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap)
        self._spawn("mon", "ceph-mon", "-i", "a", "-f")
        osd = str(uuid.uuid4())
        command = json.dumps({"prefix": "osd new", "uuid": osd})
        self._call([sys.executable, "-c", MON_COMMAND, str(self._conf), command])
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._spawn("osd", "ceph-osd", "-i", "0", "-f")
        keys = (f"--access-key={self._access_key}", f"--secret-key={self._secret_key}")
        self._run("radosgw-admin", "user", "create", "--uid=test", "--display-name=test", *keys)
        self.start_gateway()
        client = self.client()
        self._retry(lambda: client.create_bucket(Bucket="ready"))
        self._retry(lambda: client.put_object(Bucket="ready", Key="ready", Body=b""))

    def start_gateway(self) -> None:
        """Start the gateway and wait until it answers."""
        self._spawn("rgw", "radosgw", "-n", "client.rgw", "-f")
        self._retry(self.client().list_buckets)

    def kill_gateway(self) -> None:
        """Kill the gateway without warning; the objects stay."""
        self._end("rgw", signal.SIGKILL)

    def stop(self) -> None:
        """Stop everything; the objects are gone."""
        for name in ("rgw", "osd", "mon"):
            self._end(name, signal.SIGTERM)

    def _end(self, name: str, how: signal.Signals) -> None:
        if (process := self._processes.pop(name, None)) is None:
            return
        process.send_signal(how)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _spawn(self, name: str, program: str, *arguments: str) -> None:
        with (self._data / "log" / f"{name}.out").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [self._program(program), "-c", str(self._conf), *arguments],
                env=environment(self._prefix),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._data,
            )

    def _run(self, program: str, *arguments: str) -> None:
        self._call([self._program(program), "-c", str(self._conf), *arguments])

    def _call(self, command: list[str]) -> None:
        done = subprocess.run(
            command,
            env=environment(self._prefix),
            cwd=self._data,
            capture_output=True,
            text=True,
            timeout=_START_SECONDS,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{Path(command[0]).name} failed: {done.stderr[-2000:]}")

    def _program(self, name: str) -> str:
        return str(self._prefix / "usr" / "bin" / name)

    def _retry(self, action: Any) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                action()
            except (BotoCoreError, ClientError) as error:
                for name, process in self._processes.items():
                    if process.poll() is not None:
                        log = (self._data / "log" / f"{name}.out").read_text()[-2000:]
                        raise RuntimeError(f"{name} ended: {log}") from error
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
            else:
                return


def unpacked() -> Path:
    """The folder of the unpacked server, which the first call fills.

    Raises:
        S3UnavailableError: this machine cannot have it.
    """
    default = Path(__file__).parents[2] / ".cache" / "s3-ceph"
    prefix = Path(os.environ.get("TAV_S3_PREFIX", default)).resolve()
    install(prefix)
    return prefix


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
