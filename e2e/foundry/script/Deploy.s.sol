// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Counter, Factory} from "../src/Counter.sol";
import {WithVm} from "../src/Vm.sol";

contract Deploy is WithVm {
    bool public constant IS_SCRIPT = true;

    function run() external {
        vm.startBroadcast();
        Counter counter = new Counter(40);
        counter.increment();
        counter.set(counter.number() + 1);
        Factory factory = new Factory();
        for (uint256 salt = 0; salt < 5; salt++) {
            factory.make(bytes32(salt));
        }
        (bool paid,) = payable(address(0xbeef)).call{value: 1 ether}("");
        require(paid);
        vm.stopBroadcast();
        require(counter.number() == 42);
    }
}
