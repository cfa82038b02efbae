"""A data team's story with solana-py and solders: SOL, accounts, a program, a subscription."""

import asyncio
import os
import sys
import time
from urllib.parse import urlsplit

from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed
from solana.rpc.core import RPCException
from solana.rpc.models import MemcmpOpts, TxOpts
from solana.rpc.websocket_api import SolanaWsClient
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import (
    ID as SYSTEM,
    CreateAccountParams,
    TransferParams,
    create_account,
    transfer,
)
from solders.transaction import VersionedTransaction

SOL = 1_000_000_000
TOKEN = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")


def place(index, name, default):
    return sys.argv[index] if len(sys.argv) > index else os.environ.get(name, default)


def next_port(url):
    parts = urlsplit(url)
    return f"ws://{parts.hostname}:{(parts.port or 8899) + 1}"


URL = place(1, "POLITY_SOLANA_RPC", "http://127.0.0.1:8899")
WS_URL = place(2, "POLITY_SOLANA_WS", next_port(URL))
ana, ben = Keypair(), Keypair()
options = TxOpts(preflight_commitment=Confirmed)


async def tells(name, run, *args):
    start = time.monotonic()
    try:
        result = await asyncio.wait_for(run(*args), 60)
    except BaseException:
        print(f'FAILED in "{name}"', file=sys.stderr)
        raise
    print(f"ok  {name} ({(time.monotonic() - start) * 1000:.0f} ms)", flush=True)
    return result


async def refused(kind, awaitable):
    try:
        await awaitable
    except kind as error:
        return error
    raise AssertionError(f"it was not refused with {kind.__name__}")


async def signed(client, instructions, *signers):
    latest = (await client.get_latest_blockhash(Confirmed)).value
    message = MessageV0.try_compile(signers[0].pubkey(), instructions, [], latest.blockhash)
    return VersionedTransaction(message, list(signers))


async def send(client, instructions, *signers):
    transaction = await signed(client, instructions, *signers)
    signature = (await client.send_transaction(transaction, options)).value
    assert signature == transaction.signatures[0]
    statuses = await client.confirm_transaction(signature, Confirmed, sleep_seconds=0.1)
    assert statuses.value[0].err is None, statuses
    return signature


def pay(source, target, lamports):
    return transfer(TransferParams(from_pubkey=source, to_pubkey=target, lamports=lamports))


async def connected(client):
    assert await client.is_connected()
    assert (await client.get_version()).value.solana_core
    slot = (await client.get_slot(Confirmed)).value
    while (await client.get_slot(Confirmed)).value <= slot:
        await asyncio.sleep(0.05)
    assert (await client.get_balance(ana.pubkey(), Confirmed)).value == 0
    assert (await client.get_account_info(ana.pubkey(), Confirmed)).value is None
    assert (await client.get_minimum_balance_for_rent_exemption(0)).value == 890_880
    epoch = (await client.get_epoch_info(Confirmed)).value
    assert epoch.slot_index < epoch.slots_in_epoch


async def airdrop(client):
    signature = (await client.request_airdrop(ana.pubkey(), 10 * SOL, Confirmed)).value
    await client.confirm_transaction(signature, Confirmed, sleep_seconds=0.1)
    assert (await client.get_balance(ana.pubkey(), Confirmed)).value == 10 * SOL


async def pays(client):
    signature = await send(client, [pay(ana.pubkey(), ben.pubkey(), SOL)], ana)
    accounts = (await client.get_multiple_accounts([ana.pubkey(), ben.pubkey()], Confirmed)).value
    assert [account.lamports for account in accounts] == [9 * SOL - 5000, SOL]
    assert all(account.owner == SYSTEM and account.data == b"" for account in accounts)
    found = (await client.get_transaction(signature, "json", Confirmed, 0)).value
    assert found.transaction.meta.fee == 5000
    assert found.transaction.meta.err is None
    keys = found.transaction.transaction.message.account_keys
    assert keys[:2] == [ana.pubkey(), ben.pubkey()]
    parsed = (await client.get_transaction(signature, "jsonParsed", Confirmed, 0)).value
    [instruction] = parsed.transaction.transaction.message.instructions
    assert instruction.program == "system"
    assert instruction.parsed["info"]["lamports"] == SOL
    [newest, *_] = (await client.get_signatures_for_address(ben.pubkey(), commitment=Confirmed)).value
    assert newest.signature == signature and newest.err is None


async def refusals(client):
    poor = await signed(client, [pay(ben.pubkey(), ana.pubkey(), 100 * SOL)], ben)
    error = await refused(RPCException, client.send_transaction(poor, options))
    assert "custom program error: 0x1" in str(error), error
    simulated = (await client.simulate_transaction(poor, commitment=Confirmed)).value
    assert simulated.err is not None
    assert any("insufficient lamports" in line for line in simulated.logs), simulated.logs


async def mints(client):
    """A mint, by hand: what the token library would write."""
    mint = Keypair()
    lamports = (await client.get_minimum_balance_for_rent_exemption(82)).value
    create = create_account(CreateAccountParams(
        from_pubkey=ana.pubkey(), to_pubkey=mint.pubkey(), lamports=lamports, space=82, owner=TOKEN,
    ))
    data = bytes([20, 3]) + bytes(ana.pubkey()) + bytes([0])
    initialize = Instruction(TOKEN, data, [AccountMeta(mint.pubkey(), False, True)])
    await send(client, [create, initialize], ana, mint)
    account = (await client.get_account_info(mint.pubkey(), Confirmed)).value
    assert account.owner == TOKEN and len(account.data) == 82 and account.data[44] == 3
    parsed = (await client.get_account_info_json_parsed(mint.pubkey(), Confirmed)).value
    assert parsed.data.parsed["info"]["decimals"] == 3
    supply = (await client.get_token_supply(mint.pubkey(), Confirmed)).value
    assert supply.amount == "0" and supply.decimals == 3
    filters = [82, MemcmpOpts(offset=4, bytes=str(ana.pubkey()))]
    found = (await client.get_program_accounts(TOKEN, Confirmed, "base64", filters=filters)).value
    assert [account.pubkey for account in found] == [mint.pubkey()]


async def subscribes(client):
    async with SolanaWsClient(WS_URL) as socket:
        account = await socket.account_subscribe(
            pubkey=ben.pubkey(), commitment=Confirmed, encoding="base64",
        )
        slots = await socket.slot_subscribe()
        before = (await client.get_balance(ben.pubkey(), Confirmed)).value
        await send(client, [pay(ana.pubkey(), ben.pubkey(), 7)], ana)
        seen = {}
        while len(seen) < 2:
            message = await socket.recv()
            seen[message.subscription] = message.result
        assert seen[account.subscription_id].value.lamports == before + 7
        assert seen[slots.subscription_id].slot > seen[slots.subscription_id].parent
        await socket.unsubscribe(account)
        await socket.unsubscribe(slots)


async def main():
    async with AsyncClient(URL, Confirmed) as client:
        await tells("the cluster", connected, client)
        await tells("an airdrop", airdrop, client)
        await tells("a transfer, and how it is found", pays, client)
        await tells("refusals carry their reason", refusals, client)
        await tells("a mint and what it is found by", mints, client)
        await tells("subscriptions", subscribes, client)


asyncio.run(main())
