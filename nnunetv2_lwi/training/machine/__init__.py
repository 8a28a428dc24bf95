"""What depends on the machine: devices, ranks, random states, losses that overflow in mixed precision."""
