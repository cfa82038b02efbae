// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// As much of Foundry's cheatcodes as the script and the test use.
interface Vm {
    function startBroadcast() external;
    function stopBroadcast() external;
    function prank(address caller) external;
    function deal(address account, uint256 balance) external;
    function roll(uint256 number) external;
    function warp(uint256 time) external;
    function expectRevert(bytes calldata reason) external;
    function createSelectFork(string calldata url, uint256 number) external returns (uint256 id);
    function rollFork(uint256 number) external;
    function envAddress(string calldata name) external view returns (address);
    function envUint(string calldata name) external view returns (uint256);
    function envString(string calldata name) external view returns (string memory);
}

abstract contract WithVm {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
}
