"""Erlang's OTP for Python: supervised processes on asyncio and Pykka.

Start at `GenServer`, `Supervisor` and `System`; the README shows them at work.
"""

from loguru import logger

from supervisors.child_spec import *
from supervisors.children import *
from supervisors.dynamic_supervisor import *
from supervisors.errors import *
from supervisors.exit_reason import *
from supervisors.gen import *
from supervisors.gen_server import *
from supervisors.messages import *
from supervisors.names import *
from supervisors.process import current as current
from supervisors.ref import Ref as Ref
from supervisors.restart import *
from supervisors.supervisor import *
from supervisors.system import System as System
from supervisors.timer import *
from supervisors.tree import *

logger.disable("supervisors")  # noqa: RUF067 -- a library is silent until the program enables it
