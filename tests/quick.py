"""Flags of XLA for small programs that run once, whose time is that of compiling them."""

from importlib.metadata import version

QUICK = "--xla_llvm_disable_expensive_passes=true --xla_backend_optimization_level=0"
# Half of the time of compiling is that of these emitters. XLA ends a process that gives it
# a flag it does not know, so the flag is for the version that it was tried with.
if version("jaxlib").startswith("0.10."):
    QUICK += " --xla_cpu_use_fusion_emitters=false"
