"""The process: one parent per data folder, Granian's workers, and the shell that reads requests under limits."""

from webchat_soap.server.folder import DataFolderInUse, hold_data_folder, probe_data_folder
from webchat_soap.server.options import Application, Limits, ServeError, ServeOptions
from webchat_soap.server.parent import serve
from webchat_soap.server.port import PortInUse, probe_port

__all__ = [
    "Application",
    "DataFolderInUse",
    "Limits",
    "PortInUse",
    "ServeError",
    "ServeOptions",
    "hold_data_folder",
    "probe_data_folder",
    "probe_port",
    "serve",
]
