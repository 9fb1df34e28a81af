"""The OIDC issuer: public documents and the grants behind them."""
