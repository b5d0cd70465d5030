"""How much memory a process of a test took."""

# A line for the end of a program: the most KiB that this process held. (getrusage begins at the size of its parent.)
PRINT_PEAK = (
    'print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0], file=__import__("sys").stderr)\n'
)
