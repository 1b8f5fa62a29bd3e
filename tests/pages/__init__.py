"""Pages as people meet them: who may see what, what stands on them, and a real browser that looks."""
