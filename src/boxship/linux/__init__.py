"""System calls. The only home of ctypes: one wrapper per call, named after it, raising KernelError(syscall, errno, path).

Decides nothing. Loaded by the fork server and what it forks; the CLI needs none of it on the run path.
"""
