"""A bank whose accounts survive crashes: they lie in a table that a `TableOwner` keeps."""

import asyncio
from dataclasses import dataclass

from typing_extensions import override

from supervisors import From, GenServer, Refuse, Reply, ServerDownError, Supervisor, SupervisorsError, SupFlags, System
from supervisors import call as ask
from supervisors.faults import crash, kill
from supervisors.table import TableOwner


class InsufficientFundsError(SupervisorsError):
    """The account has less than was to be taken: the caller's fault."""


@dataclass(frozen=True)
class Deposit:
    """Put ``amount`` into the account of ``name``; the answer is all accounts."""

    name: str
    amount: int


@dataclass(frozen=True)
class Transfer:
    """Move ``amount`` from one account to another; the answer is all accounts."""

    giver: str
    taker: str
    amount: int


class Bank(GenServer):
    """Borrows the accounts, so that its next incarnation finds them. A request changes them in one step, or not."""

    @override
    async def init(self) -> None:
        self.accounts = await TableOwner.claim("tables", "accounts", max_entries=1000)

    @override
    def handle_call(self, request: Deposit | Transfer, from_: From) -> Reply | Refuse:
        balance = {"alice": 0, "bob": 0} | dict(self.accounts)
        match request:
            case Deposit(name, amount):
                balance[name] += amount
            case Transfer(giver, _, amount) if balance[giver] < amount:
                return Refuse(InsufficientFundsError(giver))
            case Transfer(giver, taker, amount):
                balance[giver] -= amount
                balance[taker] += amount
        self.accounts.update(balance)
        return Reply(balance)


async def main() -> None:
    """Do business while the bank, and the owner of its table, are killed and crash."""
    async with System("bank") as system:
        children = [TableOwner.child_spec(name="tables"), Bank.child_spec(name="bank")]
        await system.start(Supervisor, SupFlags(intensity=5), children)
        print("alice deposits 100:", await ask("bank", Deposit("alice", 100)))
        for name in ("bank", "tables"):
            await kill(name).wait_exit()
            await asyncio.sleep(0.01)
            print(f"{name} was killed; alice gives bob 30:", await ask("bank", Transfer("alice", "bob", 30)))
        with crash("bank", "handle_call", Transfer):
            try:
                await ask("bank", Transfer("alice", "bob", 30))
            except ServerDownError as error:
                print("the bank crashed:", error.reason)
        await asyncio.sleep(0.01)
        print("nothing was lost, nothing done twice:", await ask("bank", Deposit("alice", 0)))


if __name__ == "__main__":
    asyncio.run(main())
