// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Settlement} from "../src/Settlement.sol";
import {ISettlement} from "../src/interfaces/ISettlement.sol";
import {Fixture} from "./Fixture.sol";

/// @dev What owners try against sealed batches, and what operators and strangers try with proofs and shares.
contract AttacksOnBatchesTest is Fixture {
    uint256 internal constant AMOUNT = 50 * 10 ** 6;
    uint256[] internal none;

    function test_attack_requests_against_a_sealed_batch() public {
        uint256 idx = _openAccount(alice, AMOUNT);
        _deposit(alice, 20);
        uint256[] memory sealedWords = _slot(_word(idx, 5, 0, 20, 0, false), 0);
        vm.prank(bob);
        settlement.depositFor(idx, 1);
        vm.startPrank(alice);
        settlement.deposit(1, 0);
        settlement.setSessionKey(7);
        settlement.requestWithdrawal(AMOUNT);
        settlement.announceCancelDeposit();
        vm.stopPrank();
        vm.prank(carol());
        token.transfer(address(settlement), 3); // nor does a gift of tokens
        _settle(sealedWords, _partnerWords(1, 5), 5);
        assertEq(settlement.account(idx).pendingDeposit, 2, "dust");
        assertEq(settlement.account(idx).cancelling, 2, "what is left of the announced");
    }

    function test_attack_key_change_to_dodge_payment() public {
        uint256 idx = _openAccount(alice, AMOUNT);
        vm.startPrank(alice);
        settlement.setSessionKey(7);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.KeyRequestOutstanding.selector, idx));
        settlement.setSessionKey(8); // one at a time: a second one cannot outrun the batch that serves the first
        vm.stopPrank();
        _settleCharge(idx, 5, 1); // charged by the old key's signature while the request waits
        // The new key comes with whatever the old one still owes: the proof opens the *old* commitment.
        _settle(_slot(_word(idx, 6, 0, 0, 0, false), 7), _partnerWords(1, 6), 6);
        assertEq(settlement.account(idx).pendingKey, 0, "served");
        assertEq(settlement.totals().gross, 11, "paid");
    }

    function test_attack_withdrawal_to_dodge_payment() public {
        uint256 idx = _openAccount(alice, AMOUNT);
        vm.prank(alice);
        settlement.requestWithdrawal(AMOUNT);
        // Until the deadline the operator charges first, and serves what is left by emptying the account.
        _settle(_slot(_word(idx, 6, 0, 0, AMOUNT - 6, true), 0), _partnerWords(1, 6), 6);
        assertEq(settlement.account(idx).withdrawable, AMOUNT - 6, "the rest");
        assertEq(settlement.account(idx).pendingWithdrawal, 0, "served");
    }

    /// @dev Solidity takes an empty array from any zero word; the libraries with which users rebuild the tree do not.
    function test_attack_calldata_that_users_cannot_decode() public {
        uint256 idx = _openAccount(alice, 50 * VIBES);
        vm.prank(alice);
        settlement.requestWithdrawal(VIBES);
        bytes memory data = _batchCall(_slot(_word(idx, 0, 0, 0, VIBES, false), 0));
        for (uint256 i = 0; i < 3; ++i) {
            bytes memory odd = bytes.concat(data, i == 2 ? abi.encode(0) : bytes(""));
            // Offsets stand at words 5 and 6 of the head; word 4, receiptsTotal, is a zero that can pass for a length.
            if (i < 2) assembly { mstore(add(add(odd, 0x24), mul(add(5, i), 0x20)), 0x80) }
            vm.prank(operator, operator);
            (bool done, bytes memory answer) = address(settlement).call(odd);
            assertTrue(!done, "refused");
            assertTrue(bytes4(answer) == ISettlement.NotCanonicalCalldata.selector, "for its layout");
        }
        vm.prank(operator, operator);
        (bool settled,) = address(settlement).call(data);
        assertTrue(settled, "the usual encoding is taken");
    }

    function _batchCall(uint256[] memory words) private returns (bytes memory) {
        uint256[8] memory proof;
        return abi.encodeCall(settlement.settleBatch, (_header(0), words, new uint256[](0), proof));
    }

    function test_attack_replayed_batch() public {
        uint256 idx = _openAccount(alice, AMOUNT);
        ISettlement.Header memory header = _header(5);
        verifier.expectInput(_inputOf(header, idx, settlement.batchNumber() + 1));
        _settleAs(header, _charge(idx, 5), _partnerWords(1, 5));
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.StateMismatch.selector, header.newRoot, header.oldRoot)
        );
        _settleAs(header, _charge(idx, 5), _partnerWords(1, 5));
        // Even where the roots go round in a circle, the number of the batch is part of what is proved.
        ISettlement.Header memory back = header;
        back.oldRoot = header.newRoot;
        vm.expectRevert(ISettlement.InvalidProof.selector);
        _settleAs(back, _charge(idx, 5), _partnerWords(1, 5));
    }

    function test_attack_proof_for_another_deployment() public {
        uint256 idx = _openAccount(alice, AMOUNT);
        ISettlement.Header memory header = _header(5);
        uint256[3] memory input = _inputOf(header, idx, 2);
        settlement = new Settlement(config());
        settlement = _at(settlement, header.oldRoot);
        verifier.expectInput(input);
        vm.expectRevert(ISettlement.InvalidProof.selector);
        _settleAs(header, _charge(idx, 5), _partnerWords(1, 5));
    }

    function test_attack_rewards_beyond_the_pool() public {
        uint256 idx = _openAccount(alice, AMOUNT);
        _settleCharge(idx, 1_000, 1); // 10 % of it is the pool
        _settleReverts(
            _slot(_word(idx, 0, 101, 0, 0, false), 0),
            none,
            0,
            abi.encodeWithSelector(ISettlement.RewardsExceedPool.selector, 101, 100)
        );
    }

    /// @dev The public inputs of a batch of one charge of 5 base units, as docs/protocol.md puts them.
    function _inputOf(ISettlement.Header memory header, uint256 idx, uint256 number)
        internal
        view
        returns (uint256[3] memory)
    {
        uint256[] memory words = new uint256[](11);
        (words[0], words[1], words[2]) = (settlement.domain(), header.oldRoot, header.newRoot);
        words[3] = _word(idx, 5, 0, 0, 0, false);
        uint256 r = uint256(keccak256(abi.encode(number, words, header.commitment))) % FIELD;
        uint256 y;
        for (uint256 i = words.length; i > 0; --i) {
            y = addmod(mulmod(y, r, FIELD), words[i - 1], FIELD);
        }
        return [header.commitment, r, y];
    }

    /// @dev Brings a second deployment to the same root and batch number as the first.
    function _at(Settlement other, uint256 root) internal returns (Settlement) {
        settlement = other;
        ISettlement.Header memory header = _header(0);
        header.newRoot = root;
        _settleAs(header, new uint256[](8), none);
        assertEq(settlement.batchNumber(), 1, "as far as the first");
        return other;
    }

    function carol() internal returns (address wallet) {
        wallet = address(0xCA401);
        token.mint(wallet, 3);
    }
}
