"""The simulated source: the only room of the engine that imports the simulator."""
