"""A data team's story with web3.py: a Vyper contract, filters, middleware and blobs."""

import asyncio
import functools
import json
import subprocess
import sys
import time
from pathlib import Path

import eth_account.typed_transactions.base as signing
from eth_account import Account
from web3 import AsyncWeb3, Web3, WebSocketProvider
from web3.exceptions import ContractLogicError, TransactionNotFound, Web3RPCError
from web3.middleware import SignAndSendRawMiddlewareBuilder

MNEMONIC = "test test test test test test test test test test test junk"
URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8545"

# Three seconds each time, and it is wanted three times for each blob.
signing.load_trusted_setup = functools.cache(signing.load_trusted_setup)
Account.enable_unaudited_hdwallet_features()
accounts = [Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{i}") for i in range(4)]
owner, ana, ben, eve = accounts
w3 = Web3(Web3.HTTPProvider(URL))


def tells(name, run, *args):
    start = time.monotonic()
    try:
        result = run(*args)
    except BaseException:
        print(f'FAILED in "{name}"', file=sys.stderr)
        raise
    print(f"ok  {name} ({(time.monotonic() - start) * 1000:.0f} ms)", flush=True)
    return result


def refused(kind, run):
    try:
        run()
    except kind as error:
        return error
    raise AssertionError(f"it was not refused with {kind.__name__}")


def mined(hash):
    receipt = w3.eth.wait_for_transaction_receipt(hash, timeout=15, poll_latency=0.02)
    assert receipt["status"] == 1, receipt
    return receipt


def compile(file):
    vyper = [sys.executable, "-m", "vyper.cli.vyper_compile", "-f", "abi,bytecode"]
    path = Path(__file__).parent / "contracts" / file
    output = subprocess.run([*vyper, str(path)], check=True, capture_output=True, text=True)
    abi, bytecode = output.stdout.strip().split("\n")
    return json.loads(abi), bytecode


def connect():
    assert w3.is_connected()
    assert w3.eth.chain_id == 31337
    assert w3.net.version == "31337"
    assert w3.eth.accounts[:4] == [account.address for account in accounts]
    assert w3.eth.get_balance(ana.address) == w3.to_wei(10_000, "ether")
    assert w3.eth.get_block("earliest")["number"] == 0
    assert "/" in w3.client_version
    assert w3.eth.syncing is False
    refused(TransactionNotFound, lambda: w3.eth.get_transaction("0x" + "11" * 32))


def middleware():
    """Transactions are signed on the way, by whoever sends them."""
    for account in accounts:
        w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(account), layer=0)
    hash = w3.eth.send_transaction({"from": ana.address, "to": ben.address, "value": 1})
    receipt = mined(hash)
    assert receipt["gasUsed"] == 21_000
    sent = w3.eth.get_transaction(hash)
    assert sent["type"] == 2 and sent["from"] == ana.address


def deploy():
    abi, bytecode = compile("Fund.vy")
    contract = w3.eth.contract(abi=abi, bytecode=bytecode)
    receipt = mined(contract.constructor(1000).transact({"from": owner.address}))
    fund = w3.eth.contract(address=receipt["contractAddress"], abi=abi)
    assert fund.functions.goal().call() == 1000
    assert fund.functions.owner().call() == owner.address
    assert len(w3.eth.get_code(fund.address)) > 100
    return fund


def use(fund):
    give = fund.functions.give()
    for giver, value in [(ana, 300), (ben, 200), (ana, 100)]:
        receipt = mined(give.transact({"from": giver.address, "value": value}))
        (gift,) = fund.events.Gift().process_receipt(receipt)
        assert gift["args"] == {"giver": giver.address, "amount": value}
    assert fund.functions.gifts(ana.address).call() == 400
    assert fund.functions.missing().call() == 400
    assert fund.functions.missing().call(block_identifier=receipt["blockNumber"] - 1) == 500
    # In another state than the chain's.
    override = {fund.address: {"stateDiff": {}, "balance": "0x1"}}
    assert fund.functions.missing().call(state_override=override) == 400
    gas = give.estimate_gas({"from": ana.address, "value": 1})
    assert 21_000 < gas < 100_000
    listed = w3.eth.create_access_list({"from": ana.address, "to": fund.address, "value": 1,
                                        "data": give._encode_transaction_data()})
    assert listed["accessList"][0]["address"] == fund.address


def refusals(fund):
    give = fund.functions.give()
    error = refused(ContractLogicError, lambda: give.transact({"from": ana.address, "value": 0}))
    assert "a gift is not nothing" in str(error), error
    error = refused(ContractLogicError, lambda: fund.functions.take().call({"from": ana.address}))
    assert "only the owner" in str(error), error
    rich = {"from": ana.address, "to": ben.address, "value": 10**30, "gas": 21_000}
    error = refused(Web3RPCError, lambda: w3.eth.send_transaction(rich))
    assert "insufficient funds" in str(error).lower(), error
    nonce = w3.eth.get_transaction_count(ana.address) - 1
    fields = {"to": ben.address, "value": 1, "gas": 21_000, "chainId": 31337,
              "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 1}
    old = ana.sign_transaction({**fields, "nonce": nonce}).raw_transaction
    error = refused(Web3RPCError, lambda: w3.eth.send_raw_transaction(old))
    assert "nonce too low" in str(error), error
    new = ana.sign_transaction({**fields, "nonce": nonce + 1, "chainId": 1}).raw_transaction
    refused(Web3RPCError, lambda: w3.eth.send_raw_transaction(new))
    refused(Web3RPCError, lambda: w3.eth.send_raw_transaction("0x02c0"))


def history(fund):
    gifts = fund.events.Gift.get_logs(from_block=0)
    assert [gift["args"]["amount"] for gift in gifts] == [300, 200, 100]
    of_ana = fund.events.Gift.get_logs(from_block=0, argument_filters={"giver": ana.address})
    assert [gift["args"]["amount"] for gift in of_ana] == [300, 100]
    assert w3.eth.get_logs({"address": fund.address, "blockHash": gifts[1]["blockHash"]}) == [
        w3.eth.get_transaction_receipt(gifts[1]["transactionHash"])["logs"][0]
    ]
    receipts = w3.eth.get_block_receipts(gifts[1]["blockNumber"])
    assert [receipt["transactionHash"] for receipt in receipts] == [gifts[1]["transactionHash"]]
    fees = w3.eth.fee_history(3, "latest", [10, 90])
    assert len(fees["reward"]) == 3 and len(fees["baseFeePerGas"]) == 4


def filters(fund):
    gifts = fund.events.Gift.create_filter(from_block="latest")
    gifts.get_new_entries()
    blocks = w3.eth.filter("latest")
    pending = w3.eth.filter("pending")
    give = fund.functions.give()
    hashes = [give.transact({"from": ben.address, "value": value}) for value in (1, 2)]
    receipts = [mined(hash) for hash in hashes]
    assert [entry["args"]["amount"] for entry in gifts.get_new_entries()] == [1, 2]
    assert gifts.get_new_entries() == []
    assert blocks.get_new_entries() == [receipt["blockHash"] for receipt in receipts]
    assert pending.get_new_entries() == hashes
    mined(give.transact({"from": ben.address, "value": 3}))
    assert [entry["args"]["amount"] for entry in gifts.get_new_entries()] == [3]
    assert gifts.get_all_entries()[-1]["args"]["amount"] == 3
    assert w3.eth.uninstall_filter(gifts.filter_id)
    assert not w3.eth.uninstall_filter(gifts.filter_id)
    refused(Web3RPCError, gifts.get_new_entries)


def take(fund):
    mined(fund.functions.give().transact({"from": ana.address, "value": 1000}))
    before = w3.eth.get_balance(owner.address)
    held = w3.eth.get_balance(fund.address)
    receipt = mined(fund.functions.take().transact({"from": owner.address}))
    cost = receipt["gasUsed"] * receipt["effectiveGasPrice"]
    assert w3.eth.get_balance(owner.address) == before + held - cost
    assert w3.eth.get_balance(fund.address) == 0


def batch(fund):
    with w3.batch_requests() as requests:
        for number in range(20):
            requests.add(w3.eth.get_block(number % 5))
        requests.add(fund.functions.goal())
        *blocks, goal = requests.execute()
    assert [block["number"] for block in blocks] == [number % 5 for number in range(20)]
    assert goal == 1000


def blobs():
    """A transaction that carries a blob (EIP-4844), with the proofs of its cells (EIP-7594)."""
    data = b"\x00hello".ljust(4096 * 32, b"\x00")
    fields = {"type": 3, "chainId": 31337, "from": eve.address, "to": ben.address, "value": 0,
              "nonce": w3.eth.get_transaction_count(eve.address), "gas": 21_000,
              "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9,
              "maxFeePerBlobGas": w3.eth.blob_base_fee * 2 + 1}
    signed = eve.sign_transaction(fields, blobs=[data])
    hash = w3.eth.send_raw_transaction(signed.raw_transaction)
    receipt = mined(hash)
    assert receipt["type"] == 3
    assert receipt["blobGasUsed"] == 131_072 and receipt["blobGasPrice"] >= 1
    sent = w3.eth.get_transaction(hash)
    assert len(sent["blobVersionedHashes"]) == 1 and sent["blobVersionedHashes"][0][0] == 1
    block = w3.eth.get_block(receipt["blockNumber"])
    assert block["blobGasUsed"] == 131_072


async def subscribe(fund):
    """The same over WebSocket, without blocking."""
    async with AsyncWeb3(WebSocketProvider(URL.replace("http", "ws", 1))) as socket:
        heads = await socket.eth.subscribe("newHeads")
        logs = await socket.eth.subscribe("logs", {"address": fund.address})
        send = lambda: mined(fund.functions.give().transact({"from": ben.address, "value": 5}))
        receipt = await asyncio.to_thread(send)
        seen = {}
        async with asyncio.timeout(15):
            async for message in socket.socket.process_subscriptions():
                seen[message["subscription"]] = message["result"]
                if len(seen) == 2:
                    break
        assert seen[heads]["number"] == receipt["blockNumber"]
        assert seen[logs]["transactionHash"] == receipt["transactionHash"]
        assert await socket.eth.unsubscribe(heads)


def main():
    tells("the chain and its funded accounts", connect)
    tells("middleware signs", middleware)
    fund = tells("a Vyper contract is deployed", deploy)
    tells("it is used", use, fund)
    tells("refusals carry their reason", refusals, fund)
    tells("history by logs", history, fund)
    tells("filters give what is new", filters, fund)
    tells("the goal is reached", take, fund)
    tells("many requests in a batch", batch, fund)
    tells("subscriptions", lambda: asyncio.run(subscribe(fund)))
    tells("a transaction carries a blob", blobs)


main()
