import asyncio
from supervisors import *
class C(GenServer):
    def init(self, n=0): self.n = n
    def handle_call(self, r, f): return Reply(self.n)
async def test_x(system):
    r = await system.start(C, 4)
    assert await r.call("x") == 4
    await asyncio.sleep(3600)
