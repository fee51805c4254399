"""The simulated source: the only room of the engine that knows the simulator."""
