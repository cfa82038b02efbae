// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

interface IToken {
    function transfer(address to, uint256 amount) external returns (bool);
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
}

/// A market of two tokens on which the product of the reserves never falls; 0.3 % of what comes in
/// stays in it.
contract Pair {
    IToken public token0;
    IToken public token1;
    uint128 public reserve0;
    uint128 public reserve1;

    event Swap(address indexed trader, bool zeroForOne, uint256 amountIn, uint256 amountOut);
    event Added(address indexed owner, uint256 amount0, uint256 amount1);

    error TooLittle(uint256 amountOut);

    function swap(bool zeroForOne, uint256 amountIn, uint256 least) external returns (uint256 out) {
        (uint256 into, uint256 from) =
            zeroForOne ? (reserve0, reserve1) : (reserve1, reserve0);
        uint256 paid = amountIn * 997;
        out = (paid * from) / (into * 1000 + paid);
        if (out == 0 || out < least) revert TooLittle(out);
        (IToken tokenIn, IToken tokenOut) = zeroForOne ? (token0, token1) : (token1, token0);
        tokenIn.transferFrom(msg.sender, address(this), amountIn);
        tokenOut.transfer(msg.sender, out);
        (into, from) = (into + amountIn, from - out);
        (reserve0, reserve1) =
            zeroForOne ? (uint128(into), uint128(from)) : (uint128(from), uint128(into));
        emit Swap(msg.sender, zeroForOne, amountIn, out);
    }

    function add(uint256 amount0, uint256 amount1) external {
        token0.transferFrom(msg.sender, address(this), amount0);
        token1.transferFrom(msg.sender, address(this), amount1);
        reserve0 += uint128(amount0);
        reserve1 += uint128(amount1);
        emit Added(msg.sender, amount0, amount1);
    }
}
