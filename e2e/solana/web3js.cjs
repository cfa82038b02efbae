// A token team's story with @solana/web3.js 1 and @solana/spl-token: tokens, tables, nonces, programs.
const web3 = require("@solana/web3.js");
const spl = require("@solana/spl-token");
const { LOADER, PROGRAMDATA, deploy, finalize, programData, upgrade } = require("./lib/loader.cjs");
const { assert, elf, refused, rpc, soon, story, tells, until, url, wsUrl } = require("./lib/story.cjs");

const { LAMPORTS_PER_SOL: SOL, Keypair, PublicKey, SystemProgram, Transaction } = web3;
const confirmed = { commitment: "confirmed", preflightCommitment: "confirmed" };
/** What a signature costs. */
const FEE = 5000;

story(async () => {
  const connection = new web3.Connection(url, { commitment: "confirmed", wsEndpoint: wsUrl });
  const [team, ana, ben] = [1, 2, 3].map(() => Keypair.generate());
  const send = (instructions, signers = [team]) =>
    soon("a confirmation", web3.sendAndConfirmTransaction(
      connection, new Transaction().add(...instructions), signers, confirmed,
    ));
  const pay = (from, to, lamports) =>
    SystemProgram.transfer({ fromPubkey: from.publicKey, toPubkey: to.publicKey ?? to, lamports });
  const airdrop = async ({ publicKey }, lamports) => {
    const signature = await connection.requestAirdrop(publicKey, lamports);
    const latest = await connection.getLatestBlockhash();
    const { value } = await soon("an airdrop", connection.confirmTransaction({ signature, ...latest }));
    assert.equal(value.err, null);
  };
  // What a subscription tells first that is as wanted; it has begun when this is there.
  const first = (subscribe, wanted = () => true) => {
    let tell;
    const told = new Promise((resolve) => (tell = resolve));
    const id = subscribe((...message) => wanted(...message) && tell(message));
    return { id, told };
  };
  // web3.js does not say when a subscription has begun.
  const begun = () => new Promise((resolve) => setTimeout(resolve, 300));

  await tells("the cluster", async () => {
    assert.match((await connection.getVersion())["solana-core"], /^\d+\.\d+/);
    assert.equal((await connection.getGenesisHash()).length >= 32, true);
    const slot = await connection.getSlot();
    await until("a slot goes by", async () => (await connection.getSlot()) > slot);
    assert.ok((await connection.getBlockHeight()) <= (await connection.getSlot()));
    assert.equal(await connection.getBalance(team.publicKey), 0);
    assert.equal(await connection.getAccountInfo(team.publicKey), null);
    const rent = await connection.getMinimumBalanceForRentExemption(0);
    assert.equal(rent, 890_880);
  });

  await tells("airdrops and a transfer", async () => {
    await airdrop(team, 50 * SOL);
    await airdrop(ana, 5 * SOL);
    const signature = await send([pay(team, ben, SOL)]);
    assert.equal(await connection.getBalance(ben.publicKey), SOL);
    assert.equal(await connection.getBalance(team.publicKey), 49 * SOL - FEE);
    const found = await connection.getParsedTransaction(signature, { maxSupportedTransactionVersion: 0 });
    const [{ parsed, program, programId }] = found.transaction.message.instructions;
    assert.equal(program, "system");
    assert.ok(programId.equals(SystemProgram.programId));
    assert.deepEqual(parsed, {
      type: "transfer",
      info: { source: team.publicKey.toBase58(), destination: ben.publicKey.toBase58(), lamports: SOL },
    });
    assert.equal(found.meta.fee, FEE);
    assert.equal(found.meta.postBalances[1] - found.meta.preBalances[1], SOL);
    assert.equal(found.meta.computeUnitsConsumed, 150);
    const block = await connection.getBlock(found.slot, { maxSupportedTransactionVersion: 0 });
    assert.ok(block.transactions.some(({ transaction }) => transaction.signatures[0] === signature));
    assert.equal(await connection.getBlockTime(found.slot), found.blockTime);
  });

  await tells("what is refused, and why", async () => {
    const poor = new Transaction().add(pay(ben, ana, 100 * SOL));
    const error = await refused(web3.sendAndConfirmTransaction(connection, poor, [ben], confirmed));
    assert.ok(error instanceof web3.SendTransactionError, String(error));
    assert.match(error.message, /custom program error: 0x1/);
    assert.ok(error.logs.some((line) => line.includes("insufficient lamports")));
    const nobody = Keypair.generate();
    const none = new Transaction().add(pay(nobody, ana, 1));
    const unknown = await refused(web3.sendAndConfirmTransaction(connection, none, [nobody], confirmed));
    assert.match(unknown.message, /Attempt to debit an account but found no record of a prior credit/);
    const old = new Transaction({ feePayer: ben.publicKey, recentBlockhash: PublicKey.default.toBase58() });
    old.add(pay(ben, ana, 1)).sign(ben);
    const stale = await refused(connection.sendRawTransaction(old.serialize()));
    assert.match(stale.message, /Blockhash not found/);
  });

  await tells("a transaction fails on chain where nobody looked before", async () => {
    const { blockhash, lastValidBlockHeight } = await connection.getLatestBlockhash();
    const poor = new Transaction({ feePayer: ben.publicKey, blockhash, lastValidBlockHeight });
    poor.add(pay(ben, ana, 100 * SOL)).sign(ben);
    const before = await connection.getBalance(ben.publicKey);
    const signature = await connection.sendRawTransaction(poor.serialize(), { skipPreflight: true });
    // What its subscription tells is the result; what it finds by asking, it throws.
    const failure = await soon("the failure", connection.confirmTransaction({
      signature, blockhash, lastValidBlockHeight,
    }).then(({ value }) => value.err, (error) => error));
    assert.deepEqual(failure, { InstructionError: [0, { Custom: 1 }] });
    assert.equal(await connection.getBalance(ben.publicKey), before - FEE);
    const { value: status } = await connection.getSignatureStatus(signature);
    assert.deepEqual(status.err, failure);
  });

  await tells("a simulation", async () => {
    const { blockhash } = await connection.getLatestBlockhash();
    const message = new web3.TransactionMessage({
      payerKey: team.publicKey, recentBlockhash: blockhash, instructions: [pay(team, ben, 7)],
    }).compileToV0Message();
    const transaction = new web3.VersionedTransaction(message);
    const before = await connection.getBalance(ben.publicKey);
    const { value } = await connection.simulateTransaction(transaction, {
      replaceRecentBlockhash: true, accounts: { encoding: "base64", addresses: [ben.publicKey.toBase58()] },
    });
    assert.equal(value.err, null);
    assert.equal(value.unitsConsumed, 150);
    assert.equal(value.accounts[0].lamports, before + 7);
    assert.equal(await connection.getBalance(ben.publicKey), before);
    assert.equal((await connection.getFeeForMessage(message)).value, FEE);
  });

  const mint = await tells("a token", async () => {
    const mint = await spl.createMint(connection, team, team.publicKey, null, 9, undefined, confirmed);
    const [from, to] = [
      await spl.getOrCreateAssociatedTokenAccount(connection, team, mint, ana.publicKey, false, "confirmed", confirmed),
      await spl.getOrCreateAssociatedTokenAccount(connection, team, mint, ben.publicKey, false, "confirmed", confirmed),
    ];
    await spl.mintTo(connection, team, mint, from.address, team, 1_000n, [], confirmed);
    const account = first((tell) => connection.onAccountChange(to.address, tell, { commitment: "confirmed" }));
    const logs = first((tell) => connection.onLogs(to.address, tell, "confirmed"));
    await begun();
    const signature = await spl.transferChecked(
      connection, team, from.address, mint, to.address, ana, 400n, 9, [], confirmed,
    );
    const [info] = await soon("the account", account.told);
    assert.equal(spl.unpackAccount(to.address, info).amount, 400n);
    const [{ signature: logged, err }] = await soon("the logs", logs.told);
    assert.equal(logged, signature);
    assert.equal(err, null);
    await connection.removeAccountChangeListener(account.id);
    await connection.removeOnLogsListener(logs.id);
    assert.equal((await spl.getMint(connection, mint)).supply, 1_000n);
    assert.equal((await spl.getAccount(connection, from.address)).amount, 600n);

    const found = await connection.getParsedTransaction(signature, { maxSupportedTransactionVersion: 0 });
    const [{ program, parsed }] = found.transaction.message.instructions;
    assert.equal(program, "spl-token");
    assert.equal(parsed.type, "transferChecked");
    assert.equal(parsed.info.tokenAmount.amount, "400");
    const after = found.meta.postTokenBalances.find(({ owner }) => owner === ben.publicKey.toBase58());
    assert.equal(after.uiTokenAmount.amount, "400");

    await spl.approve(connection, team, to.address, team.publicKey, ben, 150n, [], confirmed);
    await spl.burn(connection, team, to.address, mint, ben, 100n, [], confirmed);
    const held = await spl.getAccount(connection, to.address);
    assert.equal(held.amount, 300n);
    assert.ok(held.delegate.equals(team.publicKey) && held.delegatedAmount === 150n);
    return mint;
  });

  await tells("accounts of a program, filtered and cut", async () => {
    const filters = [{ dataSize: spl.ACCOUNT_SIZE }, { memcmp: { offset: 0, bytes: mint.toBase58() } }];
    const all = await connection.getProgramAccounts(spl.TOKEN_PROGRAM_ID, { filters });
    assert.equal(all.length, 2);
    const of = [...filters, { memcmp: { offset: 32, bytes: ana.publicKey.toBase58() } }];
    const [{ account }, ...rest] = await connection.getProgramAccounts(spl.TOKEN_PROGRAM_ID, {
      filters: of, dataSlice: { offset: 64, length: 8 },
    });
    assert.equal(rest.length, 0);
    assert.equal(account.data.readBigUInt64LE(), 600n);
    const parsed = await connection.getParsedProgramAccounts(spl.TOKEN_PROGRAM_ID, { filters: of });
    assert.equal(parsed[0].account.data.parsed.info.owner, ana.publicKey.toBase58());
    const largest = await connection.getTokenLargestAccounts(mint);
    assert.deepEqual(largest.value.map(({ amount }) => amount), ["600", "300"]);
    const owned = await connection.getParsedTokenAccountsByOwner(ben.publicKey, { mint });
    assert.equal(owned.value[0].account.data.parsed.info.tokenAmount.uiAmountString, "0.0000003");
  });

  await tells("signatures of an address, the newest first", async () => {
    const sent = [];
    for (const lamports of [1, 2, 3]) sent.unshift(await send([pay(team, ana, lamports)]));
    const found = await connection.getSignaturesForAddress(ana.publicKey, { limit: 3 });
    assert.deepEqual(found.map(({ signature }) => signature), sent);
    const before = await connection.getSignaturesForAddress(ana.publicKey, { before: sent[0], limit: 1 });
    assert.equal(before[0].signature, sent[1]);
    const since = await connection.getSignaturesForAddress(ana.publicKey, { until: sent[2] });
    assert.deepEqual(since.map(({ signature }) => signature), sent.slice(0, 2));
    const [{ err, memo, slot }] = found;
    assert.ok(err === null && memo === null && slot > 0);
  });

  await tells("a versioned transaction with a lookup table", async () => {
    const slot = await connection.getSlot("finalized");
    const [create, table] = web3.AddressLookupTableProgram.createLookupTable({
      authority: team.publicKey, payer: team.publicKey, recentSlot: slot,
    });
    const addresses = [ana.publicKey, ben.publicKey, ...Array.from({ length: 8 }, () => Keypair.generate().publicKey)];
    const extend = web3.AddressLookupTableProgram.extendLookupTable({
      authority: team.publicKey, payer: team.publicKey, lookupTable: table, addresses,
    });
    await send([create, extend]);
    const { value } = await connection.getAddressLookupTable(table);
    assert.deepEqual(value.state.addresses.map(String), addresses.map(String));
    // What a slot adds to a table can be used from the next on.
    const added = value.state.lastExtendedSlot;
    await until("the table is ready", async () => (await connection.getSlot("confirmed")) > added + 1);
    const { blockhash, lastValidBlockHeight } = await connection.getLatestBlockhash();
    const instructions = addresses.map((address) => pay(team, address, SOL / 100));
    const message = new web3.TransactionMessage({
      payerKey: team.publicKey, recentBlockhash: blockhash, instructions,
    }).compileToV0Message([value]);
    assert.equal(message.addressTableLookups[0].writableIndexes.length, addresses.length);
    const transaction = new web3.VersionedTransaction(message);
    transaction.sign([team]);
    const signature = await connection.sendTransaction(transaction, confirmed);
    const { value: done } = await soon("the transaction", connection.confirmTransaction({
      signature, blockhash, lastValidBlockHeight,
    }));
    assert.equal(done.err, null);
    assert.equal(await connection.getBalance(addresses.at(-1)), SOL / 100);
    const found = await connection.getTransaction(signature, { maxSupportedTransactionVersion: 0 });
    assert.equal(found.version, 0);
    assert.deepEqual(found.meta.loadedAddresses.writable.map(String).sort(), addresses.map(String).sort());
  });

  await tells("a durable nonce", async () => {
    const nonce = Keypair.generate();
    const lamports = await connection.getMinimumBalanceForRentExemption(web3.NONCE_ACCOUNT_LENGTH);
    await send(SystemProgram.createNonceAccount({
      fromPubkey: team.publicKey, noncePubkey: nonce.publicKey, authorizedPubkey: team.publicKey, lamports,
    }).instructions, [team, nonce]);
    const { nonce: value } = await connection.getNonce(nonce.publicKey);
    const transaction = new Transaction({ feePayer: team.publicKey });
    transaction.nonceInfo = {
      nonce: value,
      nonceInstruction: SystemProgram.nonceAdvance({ noncePubkey: nonce.publicKey, authorizedPubkey: team.publicKey }),
    };
    transaction.add(pay(team, ben, 11));
    transaction.sign(team);
    const before = await connection.getBalance(ben.publicKey);
    const minContextSlot = await connection.getSlot();
    const signature = await connection.sendRawTransaction(transaction.serialize(), confirmed);
    const { value: done } = await soon("the transaction", connection.confirmTransaction({
      signature, minContextSlot, nonceAccountPubkey: nonce.publicKey, nonceValue: value,
    }));
    assert.equal(done.err, null);
    assert.equal(await connection.getBalance(ben.publicKey), before + 11);
    const next = await connection.getNonce(nonce.publicKey);
    assert.notEqual(next.nonce, value);
    const again = await refused(connection.sendRawTransaction(transaction.serialize(), confirmed));
    assert.match(again.message, /Blockhash not found|already been processed/);
  });

  await tells("Token-2022, which keeps a fee of each transfer", async () => {
    const program = spl.TOKEN_2022_PROGRAM_ID;
    const mint = Keypair.generate();
    const space = spl.getMintLen([spl.ExtensionType.TransferFeeConfig]);
    const lamports = await connection.getMinimumBalanceForRentExemption(space);
    await send([
      SystemProgram.createAccount({
        fromPubkey: team.publicKey, newAccountPubkey: mint.publicKey, space, lamports, programId: program,
      }),
      spl.createInitializeTransferFeeConfigInstruction(
        mint.publicKey, team.publicKey, team.publicKey, 250, 1_000n, program,
      ),
      spl.createInitializeMintInstruction(mint.publicKey, 2, team.publicKey, null, program),
    ], [team, mint]);
    const account = ({ publicKey }) => spl.createAssociatedTokenAccountIdempotent(
      connection, team, mint.publicKey, publicKey, confirmed, program,
    );
    const [from, to] = [await account(ana), await account(ben)];
    await spl.mintTo(connection, team, mint.publicKey, from, team, 10_000n, [], confirmed, program);
    await spl.transferCheckedWithFee(
      connection, team, from, mint.publicKey, to, ana, 1_000n, 2, 25n, [], confirmed, program,
    );
    const held = await spl.getAccount(connection, to, "confirmed", program);
    assert.equal(held.amount, 975n);
    assert.equal(spl.getTransferFeeAmount(held).withheldAmount, 25n);
    await spl.withdrawWithheldTokensFromAccounts(
      connection, team, mint.publicKey, from, team, [], [to], confirmed, program,
    );
    assert.equal((await spl.getAccount(connection, from, "confirmed", program)).amount, 9_025n);
    const wrong = await refused(spl.transferCheckedWithFee(
      connection, team, from, mint.publicKey, to, ana, 1_000n, 2, 26n, [], confirmed, program,
    ));
    assert.match(wrong.message, /custom program error: 0x20/);
  });

  await tells("an asset of the ledger, with the gateway as the token program", async () => {
    const gateway = new PublicKey("Gateway111111111111111111111111111111111111");
    const mint = await spl.createMint(
      connection, team, team.publicKey, null, 6, Keypair.generate(), confirmed, gateway);
    const [from, to] = [team, ana].map(({ publicKey }) =>
      spl.getAssociatedTokenAddressSync(mint, publicKey, false, gateway));
    // The associated token program knows SPL Token and Token-2022 alone; the gateway takes its instructions.
    const make = (account, { publicKey }) => spl.createAssociatedTokenAccountIdempotentInstruction(
      team.publicKey, account, publicKey, mint, gateway, gateway);
    await send([make(from, team), make(to, ana), make(to, ana)]);
    await spl.mintTo(connection, team, mint, from, team, 1_000_000n, [], confirmed, gateway);
    await spl.transferChecked(connection, team, from, mint, to, team, 250_000n, 6, [], confirmed, gateway);
    await spl.approve(connection, team, from, ben.publicKey, team, 50_000n, [], confirmed, gateway);
    await spl.burn(connection, team, from, mint, team, 1n, [], confirmed, gateway);
    const held = await spl.getAccount(connection, from, "confirmed", gateway);
    assert.deepEqual([held.amount, held.delegatedAmount], [749_999n, 50_000n]);
    assert.ok(held.delegate.equals(ben.publicKey));
    const { supply, decimals, mintAuthority } = await spl.getMint(connection, mint, "confirmed", gateway);
    assert.deepEqual([supply, decimals], [999_999n, 6]);
    assert.ok(mintAuthority.equals(team.publicKey));
    const { value } = await connection.getParsedTokenAccountsByOwner(ana.publicKey, { mint });
    assert.deepEqual(value.map(({ pubkey, account }) => [pubkey.toBase58(), account.data.parsed.info.tokenAmount.amount]),
      [[to.toBase58(), "250000"]]);
    const wrong = await refused(
      spl.transferChecked(connection, team, from, mint, to, team, 9_000_000n, 6, [], confirmed, gateway));
    assert.match(wrong.message, /0x1/);
    const gift = spl.createTransferInstruction(to, from, ana.publicKey, 250_000n, [], gateway);
    const close = spl.createCloseAccountInstruction(to, team.publicKey, ana.publicKey, [], gateway);
    await send([gift, close], [team, ana]);
    assert.equal(await connection.getAccountInfo(to), null);
  });

  await tells("a memo", async () => {
    const programId = new PublicKey("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");
    const keys = [{ pubkey: team.publicKey, isSigner: true, isWritable: false }];
    const memo = new web3.TransactionInstruction({ programId, keys, data: Buffer.from("für dich") });
    const signature = await send([memo]);
    const [found] = await connection.getSignaturesForAddress(team.publicKey, { limit: 1 });
    assert.equal(found.signature, signature);
    assert.equal(found.memo, "[9] für dich");
  });

  await tells("a program is deployed, called, upgraded and called again", async () => {
    const [one, two] = [elf("version1"), elf("version2")];
    const ask = async (program) => {
      const instruction = new web3.TransactionInstruction({ programId: program, keys: [], data: Buffer.from("hi") });
      const signature = await send([instruction]);
      const { meta } = await connection.getTransaction(signature, { maxSupportedTransactionVersion: 0 });
      const { returnData } = await rpc("getTransaction", signature, {
        commitment: "confirmed", encoding: "json", maxSupportedTransactionVersion: 0,
      }).then(({ meta }) => meta);
      assert.equal(returnData.programId, program.toBase58());
      return { logs: meta.logMessages, data: Buffer.from(returnData.data[0], "base64") };
    };
    // What is deployed in a slot can be called from the next on.
    const ready = async () => {
      const slot = await connection.getSlot("confirmed");
      await until("the slot is over", async () => (await connection.getSlot("confirmed")) > slot + 1);
    };
    const program = await deploy(connection, send, team, one, two.length + 100);
    await ready();
    const info = await connection.getAccountInfo(program);
    assert.ok(info.executable && info.owner.equals(LOADER));
    const data = await connection.getAccountInfo(programData(program));
    assert.ok(data.data.subarray(PROGRAMDATA).subarray(0, one.length).equals(one));
    const before = await ask(program);
    assert.ok(before.logs.includes("Program log: the first version"));
    assert.equal(before.data.toString("hex"), "01");
    await upgrade(connection, send, team, program, two);
    await ready();
    const after = await ask(program);
    assert.equal(after.data.toString("latin1"), "\x02hi");
    await finalize(send, team, program);
    const error = await refused(upgrade(connection, send, team, program, one));
    assert.match(error.message, /instruction requires a different|Immutable|immutable/);
  });

  await tells("slots and signatures by subscription", async () => {
    const slot = first((tell) => connection.onSlotChange(tell));
    const change = first((tell) => connection.onProgramAccountChange(
      spl.TOKEN_PROGRAM_ID, tell, { commitment: "confirmed", filters: [{ memcmp: { offset: 0, bytes: mint.toBase58() } }] },
    ));
    const [{ slot: seen, parent }] = await soon("a slot", slot.told);
    assert.ok(parent < seen);
    await connection.removeSlotChangeListener(slot.id);
    const owner = Keypair.generate();
    const address = await spl.createAssociatedTokenAccount(connection, team, mint, owner.publicKey, confirmed);
    const [{ accountId, accountInfo }] = await soon("the account", change.told);
    assert.ok(accountId.equals(address) && accountInfo.owner.equals(spl.TOKEN_PROGRAM_ID));
    await connection.removeProgramAccountChangeListener(change.id);
    const { blockhash, lastValidBlockHeight } = await connection.getLatestBlockhash();
    const transfer = new Transaction({ feePayer: team.publicKey, blockhash, lastValidBlockHeight });
    transfer.add(pay(team, ben, 1)).sign(team);
    const { bs58 } = require("@coral-xyz/anchor").utils.bytes;
    const told = first((tell) => connection.onSignature(bs58.encode(transfer.signature), tell, "confirmed"));
    await begun();
    await connection.sendRawTransaction(transfer.serialize(), confirmed);
    const [{ err }] = await soon("the signature", told.told);
    assert.equal(err, null);
  });
});
