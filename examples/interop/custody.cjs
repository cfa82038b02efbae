#!/usr/bin/env node
// Custody.sol with tokens that are not as the standard has them.
//
//   node custody.cjs [URL of Ethereum's JSON-RPC]
const viem = require("viem");
const { compile } = require("./lib/compile.cjs");
const ethereum = require("./lib/ethereum.cjs");
const { assert, says, story, tells } = require("./lib/story.cjs");

const POLITY = "0x0000000000000000000000000000706F6C697479";
const amount = 100n * 10n ** 9n;

story(async () => {
  const contracts = compile("odd/Odd.sol", "coin/Coin.sol", "Custody.sol", "Polity.sol");
  const { deploy, read, reader, wallet, write } = ethereum.client();
  const [ann, ben] = [wallet(2), wallet(3)];
  const [annAddress, benAddress] = [ann, ben].map(({ account }) => account.address);
  const custody = await deploy(ann, contracts.Custody);
  const polity = { address: POLITY, abi: contracts.IPolity.abi };
  const key = (address) => viem.pad(address, { size: 32 });
  const errors = contracts.IPolity.abi.filter(({ type }) => type === "error");
  const refused = async (from, contract, functionName, ...args) => {
    const asked = reader.simulateContract({
      ...contract, abi: [...contract.abi, ...errors], functionName, args, account: from.account.address,
    });
    const error = await asked.then(() => assert.fail("it was not refused"), (error) => error);
    const { reason, data } = error.walk((cause) => cause.reason ?? cause.data);
    return reason ?? data.args[0];
  };
  /** The asset of a token, as an ERC-20 token. */
  const viewOf = async (token) => {
    const asset = await read(custody, "assetOf", token.address);
    const { result } = await reader.simulateContract({ ...polity, functionName: "tokenOf", args: [asset], account: annAddress });
    return { address: result, abi: contracts.Coin.abi };
  };
  const covered = async (token) => {
    const supply = await read(await viewOf(token), "totalSupply");
    assert.ok((await read(token, "balanceOf", custody.address)) >= supply, "more goes around than there is");
  };
  const deposit = (token, from = ann, to = from.account.address) =>
    write(from, custody, "deposit", token.address, amount, 1, key(to));
  const withdraw = async (token, from, amount) => {
    await write(from, await viewOf(token), "approve", custody.address, amount);
    return write(from, custody, "withdraw", token.address, amount, from.account.address);
  };

  await tells("a token that keeps a part of each transfer", async () => {
    const token = await deploy(ann, contracts.Fee);
    await deposit(token);
    const view = await viewOf(token);
    assert.equal(await read(view, "balanceOf", annAddress), (amount * 99n) / 100n);
    assert.deepEqual([await read(view, "symbol"), await read(view, "name")], ["FEE", "Takes a fee"]);
    await covered(token);
    await withdraw(token, ann, (amount * 99n) / 100n);
    assert.equal(await read(view, "totalSupply"), 0n);
    await covered(token);
  });

  await tells("a token that returns nothing and has no name", async () => {
    const token = await deploy(ann, contracts.Silent);
    await deposit(token);
    await write(ann, await viewOf(token), "transfer", benAddress, 7n);
    await withdraw(token, ben, 7n);
    assert.equal(await read(token, "balanceOf", benAddress), 7n);
    await covered(token);
  });

  await tells("a token that says no", async () => {
    const token = await deploy(ann, contracts.Refusing);
    assert.equal(await refused(ann, custody, "deposit", token.address, amount, 1, key(annAddress)), "token refused");
    await write(ann, token, "become", true);
    await deposit(token);
    assert.equal(await read(await viewOf(token), "symbol"), "REFUSING with a symbol of some lengthé");
    await write(ann, token, "become", false);
    await write(ann, await viewOf(token), "approve", custody.address, amount);
    assert.equal(await refused(ann, custody, "withdraw", token.address, amount, annAddress), "token refused");
    assert.equal(await read(await viewOf(token), "balanceOf", annAddress), amount);
    assert.equal(await refused(ann, custody, "withdraw", token.address, amount, custody.address), "to custody");
    await covered(token);
  });

  await tells("a token that comes back", async () => {
    const token = await deploy(ann, contracts.Again);
    await write(ann, token, "arm", true);
    assert.equal(await refused(ann, custody, "deposit", token.address, amount, 1, key(annAddress)), "token refused");
    await write(ann, token, "arm", false);
    await deposit(token);
    await write(ann, token, "arm", true);
    await write(ann, await viewOf(token), "approve", custody.address, amount);
    assert.equal(await refused(ann, custody, "withdraw", token.address, amount, annAddress), "token refused");
    await covered(token);
  });

  await tells("what was sent without a deposit is nobody's", async () => {
    const token = await deploy(ann, contracts.Silent);
    await write(ann, token, "transfer", custody.address, amount);
    await deposit(token, ann, benAddress);
    assert.equal(await read(await viewOf(token), "balanceOf", benAddress), amount);
    assert.equal(await read(await viewOf(token), "totalSupply"), amount);
    assert.equal(await refused(ann, custody, "withdraw", token.address, 1n, annAddress), "InsufficientAllowance");
  });

  await tells("accounts that nobody has", async () => {
    const token = await deploy(ann, contracts.Silent);
    const dirty = viem.toHex(1n << 200n, { size: 32 });
    assert.equal(await refused(ann, custody, "deposit", token.address, amount, 1, dirty), "no address of Ethereum");
    assert.equal(await refused(ann, custody, "withdraw", token.address, 1n, annAddress), "unknown token");
  });
  says("all as it should be");
});
