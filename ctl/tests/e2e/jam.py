"""Holds the kernel's lock of the pipe behind stdout, once a file "jam" is there, until its child is killed."""

import os
import socket
import time

while not os.path.exists("jam"):
    time.sleep(0.01)
os.write(1, b"before\n")
idle, other = socket.socketpair()
child = os.fork()
if child == 0:
    # Waits for bytes of a socket that stays silent, with the pipe locked.
    os.splice(idle.fileno(), 1, 100)
    os._exit(0)
while open(f"/proc/{child}/stat").read().rpartition(") ")[2][0] != "S":
    time.sleep(0.01)
with open("jammed.new", "w") as file:
    file.write(str(child))
os.rename("jammed.new", "jammed")
os.waitpid(child, 0)
os.write(1, b"after\n")
time.sleep(1000)
