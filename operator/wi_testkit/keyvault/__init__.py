"""An emulator of the secrets part of Azure Key Vault's data plane."""
