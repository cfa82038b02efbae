// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// OpenZeppelin's token, with nine decimals: token accounts of Solana's show no more than 2^64 - 1 of
/// the smallest unit, which with eighteen decimals is eighteen tokens.
contract Coin is ERC20 {
    constructor(uint256 supply) ERC20("Gold", "GOLD") {
        _mint(msg.sender, supply);
    }

    function decimals() public pure override returns (uint8) {
        return 9;
    }
}
