// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// A contract that does what it is told, and tells what it saw: what a test needs of Ethereum where
/// contracts of several machines call each other.
contract Script {
    struct Step {
        uint8 op;
        address to;
        uint256 value;
        bytes data;
    }

    uint8 constant WRITE = 0; // slot `value` becomes `data` as a word
    uint8 constant READ = 1; // sees slot `value`
    uint8 constant CALL = 2; // calls `to`; a failure is passed on
    uint8 constant TRY = 3; // calls `to`; sees success and output
    uint8 constant TRY_STATIC = 4;
    uint8 constant TRY_DELEGATE = 5;
    uint8 constant EMIT = 6;
    uint8 constant REVERT = 7; // with `data`
    uint8 constant SPIN = 8; // until there is no gas left
    uint8 constant BALANCE = 9; // sees the balance of `to`
    uint8 constant SENDER = 10;
    uint8 constant VALUE = 11;
    uint8 constant SEND = 12; // ether without data; sees success
    uint8 constant LIMITED = 13; // as TRY, with `value` gas
    uint8 constant WRITE_TRANSIENT = 14;
    uint8 constant READ_TRANSIENT = 15;
    uint8 constant ADD = 16; // adds `data` as a word to slot `value`; sees the sum
    uint8 constant HALF = 17; // as TRY, with half of the gas that is left

    event Said(bytes data);

    receive() external payable {}

    function run(Step[] calldata steps) external payable returns (bytes[] memory seen) {
        seen = new bytes[](steps.length);
        for (uint256 i = 0; i < steps.length; i++) {
            seen[i] = step(steps[i]);
        }
    }

    function step(Step calldata s) private returns (bytes memory seen) {
        (uint256 key, address to, bytes memory data) = (s.value, s.to, s.data);
        bool ok;
        if (s.op == WRITE) {
            bytes32 word = bytes32(data);
            assembly ("memory-safe") { sstore(key, word) }
        } else if (s.op == READ) {
            uint256 word;
            assembly ("memory-safe") { word := sload(key) }
            seen = abi.encode(word);
        } else if (s.op == CALL || s.op == TRY) {
            (ok, seen) = to.call{value: s.value}(data);
            if (s.op == CALL && !ok) {
                assembly ("memory-safe") { revert(add(seen, 32), mload(seen)) }
            }
            if (s.op == TRY) seen = abi.encode(ok, seen);
        } else if (s.op == TRY_STATIC) {
            (ok, seen) = to.staticcall(data);
            seen = abi.encode(ok, seen);
        } else if (s.op == TRY_DELEGATE) {
            (ok, seen) = to.delegatecall(data);
            seen = abi.encode(ok, seen);
        } else if (s.op == EMIT) {
            emit Said(data);
        } else if (s.op == REVERT) {
            assembly ("memory-safe") { revert(add(data, 32), mload(data)) }
        } else if (s.op == SPIN) {
            while (true) {}
        } else if (s.op == BALANCE) {
            seen = abi.encode(to.balance);
        } else if (s.op == SENDER) {
            seen = abi.encode(msg.sender);
        } else if (s.op == VALUE) {
            seen = abi.encode(msg.value);
        } else if (s.op == SEND) {
            (ok,) = to.call{value: s.value}("");
            seen = abi.encode(ok);
        } else if (s.op == LIMITED) {
            (ok, seen) = to.call{gas: s.value}(data);
            seen = abi.encode(ok, seen);
        } else if (s.op == HALF) {
            (ok, seen) = to.call{value: s.value, gas: gasleft() / 2}(data);
            seen = abi.encode(ok, seen);
        } else if (s.op == WRITE_TRANSIENT) {
            bytes32 word = bytes32(data);
            assembly ("memory-safe") { tstore(key, word) }
        } else if (s.op == READ_TRANSIENT) {
            uint256 word;
            assembly ("memory-safe") { word := tload(key) }
            seen = abi.encode(word);
        } else if (s.op == ADD) {
            uint256 word = uint256(bytes32(data));
            assembly ("memory-safe") {
                word := add(sload(key), word)
                sstore(key, word)
            }
            seen = abi.encode(word);
        } else {
            revert("no such step");
        }
    }
}
