"""An emulator of Microsoft Entra's token endpoint for workload identity federation."""
