// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Counter, Factory} from "../src/Counter.sol";
import {WithVm} from "../src/Vm.sol";

/// Runs on a fork of the chain on which the script was run.
contract ForkTest is WithVm {
    bool public constant IS_TEST = true;

    Counter counter;
    Factory factory;

    function setUp() external {
        counter = Counter(vm.envAddress("COUNTER"));
        factory = Factory(vm.envAddress("FACTORY"));
    }

    function test_state_is_the_chains() external view {
        require(counter.number() == 42, "the counter");
        require(factory.counters(4).number() == 4, "the factory's counter");
        require(address(0xbeef).balance == 2 ether, "the gift, twice");
        require(block.chainid == 31337, "the chain");
        require(block.number == vm.envUint("BLOCK"), "the block");
    }

    function test_writes_stay_here() external {
        vm.prank(address(0xcafe));
        counter.set(100);
        require(counter.number() == 100);
        vm.expectRevert("only upwards");
        counter.set(1);
    }

    function test_cheats() external {
        vm.deal(address(0xcafe), 7 ether);
        require(address(0xcafe).balance == 7 ether);
        vm.warp(block.timestamp + 1 days);
        vm.roll(block.number + 10);
        Factory made = new Factory();
        require(made.make(0).number() == 0);
    }

    function test_other_block() external {
        vm.createSelectFork(vm.envString("RPC"), vm.envUint("FIRST"));
        require(address(counter).code.length > 0, "it was deployed in the first block");
        require(counter.number() == 40, "and not yet counted");
        vm.rollFork(vm.envUint("BLOCK"));
        require(counter.number() == 42, "until later");
    }

    function testFuzz_set(uint64 to) external {
        if (to < 42) vm.expectRevert("only upwards");
        counter.set(to);
    }
}
