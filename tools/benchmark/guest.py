"""QEMU guests without KVM: tools/guest-image builds what they boot, tools/guest/init says how they are spoken to."""

import re
import select
import subprocess
import time

from .host import REPOSITORY, BenchError, command


def image():
    """The kernel and the initramfs, built when the cache has none."""
    return command([REPOSITORY / "tools" / "guest-image"], timeout=300).split()


class Guest:
    """A guest with one card, which listens at `socket` for the switch."""

    def __init__(self, lab, boot, number):
        directory = lab.directory(f"guest{number}-")
        self.socket = directory / "vhost"
        self.address = f"10.0.0.{number}"
        kernel, initramfs = boot
        # vectors=0: without KVM, Debian 12's QEMU 7.2 crashes in its MSI-X code with any vhost-user device.
        self.process = lab.spawn(
            ["qemu-system-x86_64", "-accel", "tcg", "-smp", "1,maxcpus=2", "-m", "160", "-nodefaults", "-no-user-config", "-display", "none",
             "-object", "memory-backend-memfd,id=mem0,size=160M,share=on", "-machine", "memory-backend=mem0",
             "-kernel", kernel, "-initrd", initramfs,
             "-append", f"console=ttyS0 quiet panic=1 guest.ip0={self.address}/24",
             "-serial", f"file:{directory}/console.log", "-chardev", "stdio,id=commands,signal=off",
             "-device", "virtio-serial-pci,vectors=0", "-device", "virtserialport,chardev=commands",
             "-chardev", f"socket,id=char0,path={self.socket},server=on,wait=off",
             "-netdev", "vhost-user,id=net0,chardev=char0",
             "-device", f"virtio-net-pci,netdev=net0,mac=52:54:00:00:00:{number:02x},vectors=0,romfile="],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, log=directory / "qemu.log")
        self._buffer = b""

    def ready(self):
        self._until(rb"guest ready\n", 90)

    def run(self, line, timeout=40):
        """Runs a command in the guest, and returns what it printed."""
        self.process.popen.stdin.write(f"end {line}\n".encode())
        self.process.popen.stdin.flush()
        return self._until(rb"\nend \d+\n", timeout)

    def _until(self, pattern, seconds):
        end = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self._buffer)
            if found:
                text, self._buffer = self._buffer[:found.start()], self._buffer[found.end():]
                return text.decode(errors="replace")
            ready, _, _ = select.select([self.process.popen.stdout], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise BenchError(f"guest {self.address} does not answer within {seconds} s")
            data = self.process.popen.stdout.read(65536)
            if not data:
                self.process.popen.wait(5)
                self.process.check()
                raise BenchError(f"guest {self.address} closed its command channel")
            self._buffer += data
