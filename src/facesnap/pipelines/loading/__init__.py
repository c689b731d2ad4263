"""From names to a pipeline: bases, adapters, other ControlNets, LoRAs, offloading."""
