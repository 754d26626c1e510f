"""The SOAP face: the only room that knows Spyne and lxml."""

# Every module of this room imports Spyne, and Spyne only imports behind this.
import webchat_soap.soap.spyne_compat  # noqa: F401
