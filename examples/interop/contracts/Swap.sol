// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

import "./Polity.sol";

/// Uniswap V2's router.
interface IRouter {
    function swapExactTokensForTokens(
        uint256 amountIn, uint256 amountOutMin, address[] calldata path, address to, uint256 deadline
    ) external returns (uint256[] memory amounts);
}

/// Trades on Uniswap V2 for whoever calls, from whatever machine: a wallet of Solana's comes as its
/// alias, and what is bought for an alias is in the ledger the wallet's. Keeps nothing and owns nothing.
contract Swap {
    IRouter public immutable router;

    /// A mint of Solana's and where its tokens lie in custody. Whoever calls says so; the gateway
    /// checks it.
    struct Mint {
        bytes32 mint;
        bytes32 tokenProgram;
        bytes32 custodyAccount;
        bytes32 custody;
    }

    constructor(IRouter router_) {
        router = router_;
    }

    /// Sells a token that the sender has allowed this contract to spend; the sender gets what is bought.
    function swap(address sold, address bought, uint256 amount, uint256 minimum)
        external returns (uint256 paid)
    {
        return trade(sold, bought, amount, minimum, msg.sender);
    }

    /// Sells a token for the asset of an SPL mint, and pays real SPL tokens out of custody into a token
    /// account on Solana. All of it happens, or nothing.
    function swapToSolana(
        address sold, address bought, uint256 amount, uint256 minimum,
        Mint calldata mint, bytes32 tokenAccount
    ) external returns (uint256 paid) {
        paid = trade(sold, bought, amount, minimum, address(this));
        Solana.Meta[] memory metas = new Solana.Meta[](6);
        // This contract holds the asset, and so it signs.
        metas[0] = Solana.Meta(Solana.keyOf(address(this)), Solana.SIGNER);
        metas[1] = Solana.Meta(tokenAccount, Solana.WRITE);
        metas[2] = Solana.Meta(mint.mint, Solana.READ);
        metas[3] = Solana.Meta(mint.custodyAccount, Solana.WRITE);
        metas[4] = Solana.Meta(mint.tokenProgram, Solana.READ);
        metas[5] = Solana.Meta(mint.custody, Solana.READ);
        bytes memory input = Solana.encode(metas, abi.encodePacked(Solana.WITHDRAW, Solana.le64(paid)));
        POLITY.delegate(Solana.MACHINE, Solana.GATEWAY, input);
    }

    function trade(address sold, address bought, uint256 amount, uint256 minimum, address to)
        private returns (uint256)
    {
        ask(sold, abi.encodeWithSignature("transferFrom(address,address,uint256)", msg.sender, address(this), amount));
        ask(sold, abi.encodeWithSignature("approve(address,uint256)", address(router), amount));
        address[] memory path = new address[](2);
        (path[0], path[1]) = (sold, bought);
        uint256[] memory amounts =
            router.swapExactTokensForTokens(amount, minimum, path, to, block.timestamp);
        return amounts[1];
    }

    // Some tokens return nothing.
    function ask(address token, bytes memory data) private {
        (bool ok, bytes memory answer) = token.call(data);
        if (!ok) {
            assembly ("memory-safe") { revert(add(answer, 32), mload(answer)) }
        }
        require(answer.length == 0 ? token.code.length > 0 : abi.decode(answer, (bool)), "token refused");
    }
}
