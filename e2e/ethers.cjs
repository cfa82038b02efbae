// A token team's story with ethers: OpenZeppelin's ERC-20 and ERC-721, deployed, used and looked up.
const ethers = require("ethers");
const { compile } = require("./lib/compile.cjs");
const { MNEMONIC, assert, refused, story, tells, until, url, wsUrl } = require("./lib/story.cjs");

const { Coin, Picture, Board } = compile("Coin.sol", "Picture.sol", "Board.sol");

story(async () => {
  const options = { cacheTimeout: -1, pollingInterval: 50 };
  const provider = new ethers.JsonRpcProvider(url, undefined, options);
  const root = ethers.HDNodeWallet.fromPhrase(MNEMONIC, "", "m/44'/60'/0'/0");
  const [team, ana, ben] = [0, 1, 2].map((index) => root.deriveChild(index).connect(provider));
  const [teamAddress, anaAddress, benAddress] = [team, ana, ben].map(({ address }) => address);
  const deploy = async ({ abi, bytecode }, ...args) => {
    const contract = await new ethers.ContractFactory(abi, bytecode, team).deploy(...args);
    return contract.waitForDeployment();
  };
  const mined = async (sending) => {
    const receipt = await (await sending).wait();
    assert.equal(receipt.status, 1);
    return receipt;
  };

  await tells("the network, its fees and its blocks", async () => {
    const network = await provider.getNetwork();
    assert.equal(network.chainId, 31337n);
    const { gasPrice, maxFeePerGas, maxPriorityFeePerGas } = await provider.getFeeData();
    const block = await provider.getBlock("latest");
    assert.ok(gasPrice >= block.baseFeePerGas && maxFeePerGas >= maxPriorityFeePerGas);
    assert.equal(await provider.getBalance(anaAddress), ethers.parseEther("10000"));
    const signer = await provider.getSigner(0);
    assert.equal(signer.address, teamAddress);
    assert.equal((await provider.listAccounts()).length, 10);
    assert.equal(await provider.getBlock(999_999), null);
    assert.equal(await provider.getTransactionReceipt(ethers.ZeroHash), null);
  });

  const coin = await tells("an ERC-20 is deployed and transferred", async () => {
    const coin = await deploy(Coin, ethers.parseEther("1000"));
    assert.equal(await coin.name(), "Coin");
    const receipt = await mined(coin.transfer(anaAddress, 100n));
    const [{ fragment, args }] = receipt.logs;
    assert.equal(fragment.name, "Transfer");
    assert.deepEqual([...args], [teamAddress, anaAddress, 100n]);
    assert.equal(await coin.balanceOf(anaAddress), 100n);
    await mined(coin.approve(benAddress, 40n));
    await mined(coin.connect(ben).transferFrom(teamAddress, benAddress, 30n));
    assert.equal(await coin.allowance(teamAddress, benAddress), 10n);
    assert.equal(await coin.totalSupply(), ethers.parseEther("1000"));
    return coin;
  });

  await tells("a signature allows a transfer (EIP-2612)", async () => {
    const value = 25n;
    const deadline = ethers.MaxUint256;
    const { name, version, chainId, verifyingContract } = await coin.eip712Domain();
    const types = { Permit: ["owner", "spender", "value", "nonce", "deadline"].map((field) =>
      ({ name: field, type: field === "owner" || field === "spender" ? "address" : "uint256" })) };
    const message = { owner: anaAddress, spender: benAddress, value, nonce: await coin.nonces(anaAddress), deadline };
    const signature = await ana.signTypedData({ name, version, chainId, verifyingContract }, types, message);
    const { v, r, s } = ethers.Signature.from(signature);
    await mined(coin.connect(ben).permit(anaAddress, benAddress, value, deadline, v, r, s));
    await mined(coin.connect(ben).transferFrom(anaAddress, benAddress, value));
    assert.equal(await coin.balanceOf(anaAddress), 75n);
  });

  const picture = await tells("an ERC-721 is minted and moved", async () => {
    const picture = await deploy(Picture);
    for (const id of [1n, 2n, 3n]) await mined(picture.mint(anaAddress, id));
    await mined(picture.connect(ana)["safeTransferFrom(address,address,uint256)"](anaAddress, benAddress, 2n));
    assert.equal(await picture.ownerOf(2n), benAddress);
    assert.equal(await picture.balanceOf(anaAddress), 2n);
    // A contract that is no receiver.
    const error = await refused(picture.mint(await coin.getAddress(), 9n));
    assert.equal(error.code, "CALL_EXCEPTION");
    assert.equal(picture.interface.parseError(error.data).name, "ERC721InvalidReceiver");
    return picture;
  });

  await tells("history is found by its logs", async () => {
    const transfers = await coin.queryFilter(coin.filters.Transfer(), 0);
    const values = transfers.map(({ args }) => args.value);
    assert.deepEqual(values, [ethers.parseEther("1000"), 100n, 30n, 25n]);
    const toBen = await coin.queryFilter(coin.filters.Transfer(null, benAddress), 0, "latest");
    assert.deepEqual(toBen.map(({ args }) => args.from), [teamAddress, anaAddress]);
    const mints = await picture.queryFilter(picture.filters.Transfer(ethers.ZeroAddress, [anaAddress, benAddress]), 0);
    assert.deepEqual(mints.map(({ args }) => args.tokenId), [1n, 2n, 3n]);
    const [first] = toBen;
    const block = await first.getBlock();
    assert.ok(block.transactions.includes(first.transactionHash));
    const { logs } = await first.getTransactionReceipt();
    assert.equal(logs[first.index - logs[0].index].transactionHash, first.transactionHash);
    const both = await provider.getLogs({
      address: [await coin.getAddress(), await picture.getAddress()], fromBlock: 0,
      topics: [[ethers.id("Transfer(address,address,uint256)"), ethers.id("Approval(address,address,uint256)")]],
    });
    assert.equal(both.length, 4 + 4 + 2);
    const order = both.map((log) => log.blockNumber);
    assert.deepEqual(order, [...order].sort((a, b) => a - b));
  });

  await tells("errors are decoded", async () => {
    const poor = await refused(coin.connect(ana).transfer.staticCall(benAddress, 10_000n));
    assert.equal(poor.revert.name, "ERC20InsufficientBalance");
    assert.deepEqual([...poor.revert.args], [anaAddress, 75n, 10_000n]);
    // The estimate of what is to be sent is refused with the same data.
    const sending = await refused(coin.connect(ana).transfer(benAddress, 10_000n));
    assert.deepEqual([sending.action, sending.data], ["estimateGas", poor.data]);
    const stranger = await refused(picture.connect(ben).mint.staticCall(benAddress, 4n));
    assert.equal(stranger.revert.name, "OwnableUnauthorizedAccount");
    const board = await deploy(Board, teamAddress);
    const reason = await refused(board.post.staticCall("x", { value: 13n }));
    assert.deepEqual([reason.reason, reason.revert.name], ["an unlucky gift", "Error"]);
    const panic = await refused(board.divide(1n, 0n));
    assert.equal(panic.revert.name, "Panic");
    const empty = await refused(board.notes(5n));
    assert.equal(empty.code, "CALL_EXCEPTION");
    // Sent in spite of all, it is mined and fails.
    const sent = await team.sendTransaction({
      to: await board.getAddress(), value: 13n, gasLimit: 100_000n,
      data: board.interface.encodeFunctionData("post", ["x"]),
    });
    const failed = await refused(sent.wait());
    assert.deepEqual([failed.code, failed.receipt.status], ["CALL_EXCEPTION", 0]);
    assert.equal(await board.post.staticCall("calls change nothing"), 0n);
    const gas = await board.post.estimateGas("hello");
    const { gasUsed } = await mined(board.post("hello", { gasLimit: gas }));
    assert.ok(gasUsed <= gas && gas < 200_000n);
  });

  await tells("what cannot be sent is named", async () => {
    const nonce = await ana.getNonce();
    const send = (fields) => ana.sendTransaction({ to: benAddress, gasLimit: 21_000n, nonce, ...fields });
    assert.equal((await refused(send({ value: ethers.parseEther("999999") }))).code, "INSUFFICIENT_FUNDS");
    assert.equal((await refused(send({ nonce: nonce - 1 }))).code, "NONCE_EXPIRED");
    const other = await ana.signTransaction({ to: benAddress, gasLimit: 21_000n, nonce, chainId: 5n,
      maxFeePerGas: ethers.parseUnits("9", "gwei"), maxPriorityFeePerGas: 1n });
    assert.match((await refused(provider.broadcastTransaction(other))).message, /chain.?id/i);
    await refused(provider.send("eth_doesNotExist", []));
  });

  await tells("subscriptions tell what happens", async () => {
    const socket = new ethers.WebSocketProvider(wsUrl);
    const heads = [];
    const pending = [];
    const pushed = [];
    const polled = [];
    await socket.on("block", (number) => heads.push(number));
    await socket.on("pending", (hash) => pending.push(hash));
    await coin.connect(socket).on("Transfer", (from, to, value) => pushed.push(value));
    await coin.on("Transfer", (from, to, value) => polled.push(value));
    await socket.getBlockNumber();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const hashes = [];
    for (const value of [1n, 2n, 3n]) hashes.push((await mined(coin.transfer(benAddress, value))).hash);
    await until("all were told", () => pushed.length >= 3 && polled.length >= 3 && heads.length >= 3 && pending.length >= 3);
    assert.deepEqual(pushed, [1n, 2n, 3n]);
    assert.deepEqual(polled, [1n, 2n, 3n]);
    assert.deepEqual(pending.slice(-3), hashes);
    const last = await provider.getBlockNumber();
    assert.deepEqual(heads.slice(-3), [last - 2, last - 1, last]);
    await coin.removeAllListeners();
    await socket.destroy();
  });

  await tells("the node signs for its accounts", async () => {
    const signer = await provider.getSigner(3);
    const sent = await signer.sendTransaction({ to: benAddress, value: 1n });
    const receipt = await sent.wait();
    assert.equal(receipt.from, signer.address);
    const signature = await signer.signMessage("hello");
    assert.equal(ethers.verifyMessage("hello", signature), signer.address);
    const transaction = await provider.getTransaction(sent.hash);
    assert.equal(ethers.Transaction.from(transaction).from, signer.address);
    const block = await provider.getBlock(receipt.blockNumber, true);
    assert.equal(block.prefetchedTransactions[0].hash, sent.hash);
  });

  await tells("fifty transactions at once", async () => {
    const before = await coin.balanceOf(benAddress);
    const first = await team.getNonce();
    const sent = [];
    for (let nonce = first; nonce < first + 50; nonce++) sent.push(coin.transfer(benAddress, 1n, { nonce }));
    const receipts = await Promise.all(sent.map(mined));
    assert.equal(new Set(receipts.map(({ hash }) => hash)).size, 50);
    assert.equal(await coin.balanceOf(benAddress), before + 50n);
  });
});
