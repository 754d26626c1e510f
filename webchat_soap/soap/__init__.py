"""The SOAP face: the only room that knows Spyne and lxml.

Import `webchat_soap.soap.spyne_compat` before anything of Spyne; the modules of this room do.
"""
