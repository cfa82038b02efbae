// An application's story with @solana/kit: SOL, a token, decoded accounts, and what a node tells by itself.
const kit = require("@solana/kit");
const system = require("@solana-program/system");
const token = require("@solana-program/token");
const { assert, refused, soon, story, tells, until, url, wsUrl } = require("./lib/story.cjs");

const SOL = 1_000_000_000n;
const commitment = "confirmed";

story(async () => {
  const rpc = kit.createSolanaRpc(url);
  const rpcSubscriptions = kit.createSolanaRpcSubscriptions(wsUrl);
  const confirm = kit.sendAndConfirmTransactionFactory({ rpc, rpcSubscriptions });
  const drop = kit.airdropFactory({ rpc, rpcSubscriptions });
  const [ana, ben, mint] = await Promise.all([1, 2, 3].map(() => kit.generateKeyPairSigner()));
  const balance = async ({ address }) => (await rpc.getBalance(address, { commitment }).send()).value;

  const signed = async (instructions, payer = ana) => {
    const { value: latest } = await rpc.getLatestBlockhash({ commitment }).send();
    const message = kit.pipe(
      kit.createTransactionMessage({ version: 0 }),
      (message) => kit.setTransactionMessageFeePayerSigner(payer, message),
      (message) => kit.setTransactionMessageLifetimeUsingBlockhash(latest, message),
      (message) => kit.appendTransactionMessageInstructions(instructions, message),
    );
    return kit.signTransactionMessageWithSigners(message);
  };
  const send = async (...instructions) => {
    const transaction = await signed(instructions);
    await soon("a confirmation", confirm(transaction, { commitment }));
    return kit.getSignatureFromTransaction(transaction);
  };

  // A subscription that has begun. What comes is kept from the first time on that somebody asks.
  const follow = async (request) => {
    const abort = new AbortController();
    const messages = await request.subscribe({ abortSignal: abort.signal });
    const iterator = messages[Symbol.asyncIterator]();
    let coming = iterator.next();
    const next = async (what) => {
      const { value } = await soon(what, coming);
      coming = iterator.next();
      return value;
    };
    return { next, stop: () => abort.abort() };
  };

  await tells("the cluster and its slots", async () => {
    const version = await rpc.getVersion().send();
    assert.match(version["solana-core"], /^\d+\.\d+/);
    assert.equal(await rpc.getHealth().send(), "ok");
    const genesis = await rpc.getGenesisHash().send();
    assert.ok(kit.isAddress(genesis));
    const epoch = await rpc.getEpochInfo().send();
    assert.ok(epoch.slotsInEpoch > 0n && epoch.slotIndex < epoch.slotsInEpoch);
    const slot = await rpc.getSlot({ commitment }).send();
    await until("the slots go on", async () => (await rpc.getSlot({ commitment }).send()) > slot);
    const { value } = await rpc.getLatestBlockhash().send();
    assert.ok((await rpc.isBlockhashValid(value.blockhash, { commitment: "processed" }).send()).value);
  });

  await tells("slots come by themselves", async () => {
    const slots = await follow(await rpcSubscriptions.slotNotifications());
    const first = await slots.next("a slot");
    const second = await slots.next("the next slot");
    assert.ok(second.slot > first.slot && second.parent >= first.parent);
    slots.stop();
  });

  await tells("an airdrop", async () => {
    assert.equal(await balance(ana), 0n);
    const lamports = kit.lamports(100n * SOL);
    await soon("the airdrop", drop({ commitment, lamports, recipientAddress: ana.address }));
    assert.equal(await balance(ana), 100n * SOL);
  });

  await tells("a transfer, confirmed by its subscription", async () => {
    const accounts = await follow(
      await rpcSubscriptions.accountNotifications(ben.address, { commitment, encoding: "base64" }),
    );
    const amount = kit.lamports(3n * SOL);
    const signature = await send(
      system.getTransferSolInstruction({ source: ana, destination: ben.address, amount }),
    );
    assert.equal(await balance(ben), 3n * SOL);
    assert.equal(await balance(ana), 97n * SOL - 5000n);
    const { context, value } = await accounts.next("the account");
    assert.equal(value.lamports, 3n * SOL);
    assert.ok(context.slot > 0n);
    accounts.stop();
    const found = await rpc.getTransaction(signature, {
      commitment, encoding: "json", maxSupportedTransactionVersion: 0,
    }).send();
    assert.equal(found.meta.err, null);
    assert.equal(found.meta.fee, 5000n);
    assert.equal(found.version, 0);
    assert.deepEqual(found.transaction.message.accountKeys.slice(0, 2), [ana.address, ben.address]);
    const { value: [status] } = await rpc.getSignatureStatuses([signature]).send();
    assert.equal(status.err, null);
  });

  await tells("a signature is told once", async () => {
    const amount = kit.lamports(SOL);
    const instruction = system.getTransferSolInstruction({ source: ana, destination: ben.address, amount });
    const transaction = await signed([instruction]);
    const signature = kit.getSignatureFromTransaction(transaction);
    const told = await follow(await rpcSubscriptions.signatureNotifications(signature, { commitment }));
    const wire = kit.getBase64EncodedWireTransaction(transaction);
    const config = { encoding: "base64", preflightCommitment: commitment };
    assert.equal(await rpc.sendTransaction(wire, config).send(), signature);
    const { value } = await told.next("the signature");
    assert.equal(value.err, null);
    told.stop();
  });

  await tells("what cannot be is refused before it is sent", async () => {
    const amount = kit.lamports(1_000_000n * SOL);
    const instruction = system.getTransferSolInstruction({ source: ana, destination: ben.address, amount });
    const transaction = await signed([instruction]);
    const error = await refused(confirm(transaction, { commitment }));
    assert.ok(kit.isSolanaError(error), String(error));
    const code = kit.SOLANA_ERROR__JSON_RPC__SERVER_ERROR_SEND_TRANSACTION_PREFLIGHT_FAILURE;
    assert.equal(error.context.__code, code);
    const wire = kit.getBase64EncodedWireTransaction(transaction);
    const { value } = await rpc.simulateTransaction(wire, { encoding: "base64", commitment }).send();
    assert.deepEqual(value.err, { InstructionError: [0n, { Custom: 1n }] });
    assert.ok(value.logs.some((line) => line.includes("insufficient lamports")), value.logs.join("\n"));
  });

  await tells("a mint, with what its program's subscription tells", async () => {
    const told = await follow(await rpcSubscriptions.programNotifications(token.TOKEN_PROGRAM_ADDRESS, {
      commitment, encoding: "base64", filters: [{ dataSize: BigInt(token.getMintSize()) }],
    }));
    const space = BigInt(token.getMintSize());
    const lamports = await rpc.getMinimumBalanceForRentExemption(space).send();
    await send(
      system.getCreateAccountInstruction({
        payer: ana, newAccount: mint, lamports, space, programAddress: token.TOKEN_PROGRAM_ADDRESS,
      }),
      token.getInitializeMint2Instruction({ mint: mint.address, decimals: 6, mintAuthority: ana.address }),
    );
    const { value } = await told.next("the mint");
    assert.equal(value.pubkey, mint.address);
    assert.equal(value.account.owner, token.TOKEN_PROGRAM_ADDRESS);
    told.stop();
    const { data } = await token.fetchMint(rpc, mint.address, { commitment });
    assert.equal(data.decimals, 6);
    assert.equal(data.supply, 0n);
    assert.deepEqual(data.mintAuthority, { __option: "Some", value: ana.address });
  });

  const tokenOf = async ({ address: owner }) => {
    const seeds = { owner, mint: mint.address, tokenProgram: token.TOKEN_PROGRAM_ADDRESS };
    const [address] = await token.findAssociatedTokenPda(seeds);
    return address;
  };

  await tells("tokens are minted and transferred, with logs", async () => {
    const [from, to] = [await tokenOf(ana), await tokenOf(ben)];
    const create = ({ address: owner }) =>
      token.getCreateAssociatedTokenIdempotentInstructionAsync({ payer: ana, owner, mint: mint.address });
    await send(
      await create(ana), await create(ben),
      token.getMintToInstruction({ mint: mint.address, token: from, mintAuthority: ana, amount: 1_000_000n }),
    );
    const logs = await follow(
      await rpcSubscriptions.logsNotifications({ mentions: [mint.address] }, { commitment }),
    );
    const signature = await send(token.getTransferCheckedInstruction({
      source: from, mint: mint.address, destination: to, authority: ana, amount: 250_000n, decimals: 6,
    }));
    const { value } = await logs.next("the logs");
    assert.equal(value.signature, signature);
    assert.equal(value.err, null);
    assert.ok(value.logs.some((line) => line.includes(`Program ${token.TOKEN_PROGRAM_ADDRESS} success`)));
    logs.stop();
    const accounts = await token.fetchAllToken(rpc, [from, to], { commitment });
    assert.deepEqual(accounts.map(({ data }) => data.amount), [750_000n, 250_000n]);
    assert.equal(accounts[1].data.owner, ben.address);
    const amount = await rpc.getTokenAccountBalance(to, { commitment }).send();
    assert.deepEqual(amount.value, { amount: "250000", decimals: 6, uiAmount: 0.25, uiAmountString: "0.25" });
    const supply = await rpc.getTokenSupply(mint.address, { commitment }).send();
    assert.equal(supply.value.amount, "1000000");
    const owned = await rpc.getTokenAccountsByOwner(
      ben.address, { mint: mint.address }, { commitment, encoding: "jsonParsed" },
    ).send();
    assert.equal(owned.value.length, 1);
    const parsed = owned.value[0].account.data.parsed;
    assert.equal(parsed.type, "account");
    assert.equal(parsed.info.tokenAmount.amount, "250000");
  });

  await tells("too many tokens are not transferred", async () => {
    const [from, to] = [await tokenOf(ben), await tokenOf(ana)];
    const transfer = token.getTransferInstruction({ source: from, destination: to, authority: ben, amount: 1_000_000n });
    const error = await refused(confirm(await signed([transfer]), { commitment }));
    const message = { instructions: { 0: { programAddress: token.TOKEN_PROGRAM_ADDRESS } } };
    assert.ok(token.isTokenError(error.cause, message, token.TOKEN_ERROR__INSUFFICIENT_FUNDS), String(error.cause));
  });

  await tells("accounts as they are", async () => {
    const nobody = await kit.generateKeyPairSigner();
    const accounts = await kit.fetchEncodedAccounts(rpc, [ben.address, nobody.address], { commitment });
    assert.deepEqual(accounts.map(({ exists }) => exists), [true, false]);
    assert.equal(accounts[0].lamports, 4n * SOL);
    assert.equal(accounts[0].programAddress, system.SYSTEM_PROGRAM_ADDRESS);
    const parsed = await rpc.getAccountInfo(mint.address, { commitment, encoding: "jsonParsed" }).send();
    assert.equal(parsed.value.data.parsed.info.supply, "1000000");
    const blocks = await rpc.getSignaturesForAddress(ben.address, { commitment }).send();
    assert.ok(blocks.length >= 2);
  });
});
