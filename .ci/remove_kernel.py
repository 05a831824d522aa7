"""Remove the kernel of `make kernel` if this Python is the one that it starts; part of `make clean`.

Jupyter keeps it in the home folder, where another clone's kernel may have replaced it.
"""

import sys
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

name = sys.argv[1]
manager = KernelSpecManager(ensure_native_kernel=False)
try:
    program = Path(manager.get_kernel_spec(name).argv[0])
except (NoSuchKernel, ValueError, IndexError):  # there is none, or not one that `make kernel` wrote
    sys.exit()
if program.parent.resolve() == Path(sys.executable).parent.resolve():  # the programs themselves may be one, linked
    print(f"removing the kernel {manager.remove_kernel_spec(name)}")
