"""Flags of XLA for small programs that run once, whose time is that of compiling them."""

QUICK = (
    "--xla_llvm_disable_expensive_passes=true --xla_backend_optimization_level=0 "
    # Half of the time of compiling is that of these emitters.
    "--xla_cpu_use_fusion_emitters=false"
)
