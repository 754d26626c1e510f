"""Proving what a file is from its bytes: structural sniffers for the closed list of contract section 5.

Headers and containers are read, pixels and sound never decoded, archives never unpacked beyond a small table.
"""

from webchat_soap.files.sniff.image import MAX_PIXELS
from webchat_soap.files.sniff.prove import content_types, prove

__all__ = ["MAX_PIXELS", "content_types", "prove"]
