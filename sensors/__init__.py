"""Sensors and schedules: "is anything due?", turned into run requests. What is due is decided in `clash_pipeline`."""
