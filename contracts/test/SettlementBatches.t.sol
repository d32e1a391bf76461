// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Settlement} from "../src/Settlement.sol";
import {ISettlement} from "../src/interfaces/ISettlement.sol";
import {Forwarder, SettlingConstructor} from "./Doubles.sol";
import {Fixture} from "./Fixture.sol";

/// @dev What a batch must satisfy, with a verifier that accepts everything unless told otherwise.
contract SettlementBatchesTest is Fixture {
    uint256[] internal none;

    function test_a_batch_moves_the_root_and_counts() public {
        uint256 idx = _deposit(alice, 50 * VIBES);
        ISettlement.Header memory header = _header(10 * VIBES);
        vm.expectEmit(true, false, false, true, address(settlement));
        emit ISettlement.BatchSettled(
            1, 4, header.oldRoot, header.newRoot, header.receiptsRoot, 10 * VIBES, 0, 500_000
        );
        _settleAs(header, _charge(idx, 10 * VIBES), _partnerWords(1, 10 * VIBES));
        assertEq(settlement.stateRoot(), header.newRoot, "root");
        assertEq(settlement.batchNumber(), 1, "batch number");
        assertEq(settlement.totals().gross, 10 * VIBES, "gross");
    }

    function test_public_inputs_are_commitment_challenge_and_evaluation() public {
        token.mint(address(settlement), 6 * VIBES);
        uint256[] memory words = _slot(_word(5, 2 * VIBES, 0, 0, 0, false), 0);
        words[2] = _word(9, 1 * VIBES, 0, 0, 0, false);
        ISettlement.Header memory header = _header(3 * VIBES);
        uint256[3] memory input = _publicInputs(settlement.batchNumber() + 1, header, words);
        verifier.expectInput(input);
        _settleAs(header, words, _partnerWords(1, 3 * VIBES));

        // The next batch has the next number, and what was made for another number is worth nothing.
        header = _header(3 * VIBES);
        verifier.expectInput(_publicInputs(1, header, words));
        vm.expectRevert(ISettlement.InvalidProof.selector);
        _settleAs(header, words, _partnerWords(1, 3 * VIBES));
        verifier.expectInput(_publicInputs(2, header, words));
        _settleAs(header, words, _partnerWords(1, 3 * VIBES));
    }

    function test_domain_is_chain_and_contract() public {
        uint256 expected = uint256(keccak256(abi.encode(block.chainid, address(settlement)))) % FIELD;
        assertEq(settlement.domain(), expected, "domain");
        vm.chainId(31338);
        assertTrue(new Settlement(config()).domain() != expected, "another chain and contract");
    }

    function test_only_the_operator_settles() public {
        ISettlement.Header memory header = _header(0);
        uint256[8] memory proof;
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotOperator.selector, alice));
        vm.prank(alice, alice);
        settlement.settleBatch(header, new uint256[](8), none, proof);
    }

    function test_a_contract_between_operator_and_settlement_is_refused() public {
        Forwarder forwarder = new Forwarder();
        settlement.setOperator(address(forwarder));
        ISettlement.Header memory header = _header(0);
        uint256[8] memory proof;
        vm.expectRevert(ISettlement.NotDirectCall.selector);
        vm.prank(operator, operator);
        forwarder.settle(settlement, header, new uint256[](8), none, proof);
    }

    function test_a_contract_under_construction_is_refused() public {
        // It has no code yet: only the transaction's origin tells it from an account.
        address made = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        settlement.setOperator(made);
        ISettlement.Header memory header = _header(0);
        vm.expectRevert(ISettlement.NotDirectCall.selector);
        new SettlingConstructor(settlement, header);
    }

    function test_a_delegated_operator_account_is_refused() public {
        vm.etch(operator, hex"ef0100000000000000000000000000000000000000dead");
        ISettlement.Header memory header = _header(0);
        vm.expectRevert(ISettlement.NotDirectCall.selector);
        _settleAs(header, new uint256[](8), none);
    }

    function test_a_batch_starts_from_the_present_root() public {
        ISettlement.Header memory header = _header(0);
        _settleAs(header, new uint256[](8), none);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.StateMismatch.selector, header.newRoot, header.oldRoot)
        );
        _settleAs(header, new uint256[](8), none);
    }

    function test_a_refused_proof_changes_nothing() public {
        verifier.setAccepts(false);
        _settleReverts(new uint256[](8), none, 0, abi.encodeWithSelector(ISettlement.InvalidProof.selector));
        assertEq(settlement.batchNumber(), 0, "batch number");
    }

    function test_batch_sizes_without_a_verifier_are_refused() public {
        bytes4 selector = ISettlement.UnsupportedBatchSize.selector;
        _settleReverts(new uint256[](10), none, 0, abi.encodeWithSelector(selector, 5));
        _settleReverts(new uint256[](9), none, 0, abi.encodeWithSelector(selector, 4));
        _settleReverts(new uint256[](0), none, 0, abi.encodeWithSelector(selector, 0));
    }

    function test_roots_and_commitment_are_field_elements() public {
        ISettlement.Header memory header = _header(0);
        header.newRoot = FIELD;
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotCanonical.selector, FIELD));
        _settleAs(header, new uint256[](8), none);
        header.newRoot = 1;
        header.commitment = FIELD + 1;
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotCanonical.selector, FIELD + 1));
        _settleAs(header, new uint256[](8), none);
    }

    function test_words_are_canonical() public {
        uint256 idx = _deposit(alice, 50 * VIBES);
        _refused(_slot(idx | 1 << 241, 0), idx | 1 << 241);
        _refused(_slot(idx | 1 << 255, 0), idx | 1 << 255);
        _refused(_slot(idx, FIELD), FIELD);
        uint256[] memory last = new uint256[](8);
        (last[6], last[7]) = (idx, type(uint256).max);
        _refused(last, type(uint256).max);
    }

    function test_padding_is_all_zero() public {
        uint256 chargeWithoutAccount = _word(0, 5, 0, 0, 0, false);
        _refused(_slot(chargeWithoutAccount, 0), chargeWithoutAccount);
        _refused(_slot(0, KEY_COMMIT), KEY_COMMIT);
    }

    function test_deposits_are_consumed_in_part_and_never_beyond() public {
        uint256 idx = _deposit(alice, 50 * VIBES);
        _settleSlot(_word(idx, 0, 0, 20 * VIBES, 0, false), KEY_COMMIT);
        assertEq(settlement.account(idx).pendingDeposit, 30 * VIBES, "rest stays pending");
        _settleReverts(
            _slot(_word(idx, 0, 0, 30 * VIBES + 1, 0, false), 0),
            none,
            0,
            abi.encodeWithSelector(ISettlement.UnpendingDeposit.selector, idx, 30 * VIBES + 1, 30 * VIBES)
        );
    }

    function test_attack_dust_deposit_against_a_sealed_batch() public {
        uint256 idx = _deposit(alice, 50 * VIBES);
        uint256[] memory sealedWords = _slot(_word(idx, 0, 0, 50 * VIBES, 0, false), KEY_COMMIT);
        _deposit(alice, 1);
        vm.prank(bob);
        settlement.depositFor(idx, 1);
        _settle(sealedWords, none, 0);
        assertEq(settlement.account(idx).pendingDeposit, 2, "dust stays pending");
    }

    function test_withdrawals_are_served_in_full() public {
        uint256 idx = _requested(40 * VIBES);
        _unrequested(idx, 40 * VIBES - 1, false, 40 * VIBES);
        _unrequested(idx, 40 * VIBES + 1, false, 40 * VIBES);
        _settleSlot(_word(idx, 0, 0, 0, 40 * VIBES, false), 0);
        ISettlement.Account memory entry = settlement.account(idx);
        assertEq(entry.withdrawable, 40 * VIBES, "withdrawable");
        assertEq(entry.pendingWithdrawal, 0, "served");
        assertEq(entry.withdrawalDeadline, 0, "deadline");
        _unrequested(idx, 40 * VIBES, false, 0);
    }

    function test_a_drain_serves_less_but_never_unasked_or_more() public {
        uint256 idx = _deposit(alice, 50 * VIBES);
        _unrequested(idx, 0, true, 0);
        vm.prank(alice);
        settlement.requestWithdrawal(40 * VIBES);
        _unrequested(idx, 40 * VIBES + 1, true, 40 * VIBES);
        _settleSlot(_word(idx, 0, 0, 0, 7, true), 0);
        assertEq(settlement.account(idx).withdrawable, 7, "withdrawable");
        assertEq(settlement.account(idx).pendingWithdrawal, 0, "served");
    }

    function test_an_empty_account_is_drained_with_nothing() public {
        uint256 idx = _requested(1);
        _settleSlot(_word(idx, 0, 0, 0, 0, true), 0);
        assertEq(settlement.account(idx).pendingWithdrawal, 0, "served");
        assertEq(settlement.account(idx).withdrawable, 0, "withdrawable");
    }

    function test_keys_are_the_requested_ones() public {
        uint256 idx = _deposit(alice, 50 * VIBES);
        bytes4 selector = ISettlement.UnrequestedKey.selector;
        uint256 foreign = KEY_COMMIT + 1;
        _settleReverts(
            _slot(idx, foreign), none, 0, abi.encodeWithSelector(selector, idx, foreign, KEY_COMMIT)
        );
        _settleSlot(idx, KEY_COMMIT);
        assertEq(settlement.account(idx).pendingKey, 0, "served");
        assertEq(settlement.account(idx).keyDeadline, 0, "deadline");
        _settleReverts(_slot(idx, KEY_COMMIT), none, 0, abi.encodeWithSelector(selector, idx, KEY_COMMIT, 0));
    }

    function test_deposit_withdrawal_and_key_are_independent() public {
        uint256 idx = _requested(40 * VIBES);
        _settleSlot(_word(idx, 0, 0, 0, 40 * VIBES, false), 0);
        ISettlement.Account memory entry = settlement.account(idx);
        assertEq(entry.pendingDeposit, 50 * VIBES, "deposit");
        assertEq(entry.pendingKey, KEY_COMMIT, "key");
        assertTrue(entry.keyDeadline != 0, "key deadline");
    }

    function test_fuzz_binding_equals_its_definition(
        uint256[8] calldata raw,
        uint256 newRoot,
        uint256 commitment
    ) public {
        token.mint(address(settlement), token.CAP() - token.totalMinted()); // enough to burn from
        uint256[] memory words = new uint256[](8);
        uint256 charges;
        uint256 rewards;
        for (uint256 i = 0; i < 8; i += 2) {
            words[i] = (raw[i] >> 16) & ((1 << 132) - 1) | 1; // canonical, an account, no requests
            charges += (words[i] >> 24) & (2 ** 54 - 1);
            rewards += (words[i] >> 78) & (2 ** 54 - 1);
        }
        ISettlement.Header memory header = _header(charges);
        header.newRoot = newRoot % FIELD;
        header.commitment = commitment % FIELD;
        verifier.expectInput(_publicInputs(1, header, words));
        // Getting past the proof is the point; a first batch has no pool, and rewards are summed over slots.
        if (rewards != 0) {
            vm.expectRevert(abi.encodeWithSelector(ISettlement.RewardsExceedPool.selector, rewards, 0));
        }
        _settleAs(header, words, charges == 0 ? none : _partnerWords(0, charges));
    }

    /// @dev Domain, header and words as docs/protocol.md puts it, without assembly.
    function _publicInputs(uint256 number, ISettlement.Header memory header, uint256[] memory slots)
        internal
        view
        returns (uint256[3] memory)
    {
        uint256[] memory words = new uint256[](3 + slots.length);
        (words[0], words[1], words[2]) = (settlement.domain(), header.oldRoot, header.newRoot);
        for (uint256 i = 0; i < slots.length; ++i) {
            words[3 + i] = slots[i];
        }
        uint256 r = uint256(keccak256(abi.encode(number, words, header.commitment))) % FIELD;
        uint256 y;
        uint256 power = 1;
        for (uint256 i = 0; i < words.length; ++i) {
            y = addmod(y, mulmod(words[i], power, FIELD), FIELD);
            power = mulmod(power, r, FIELD);
        }
        return [header.commitment, r, y];
    }

    /// @dev Alice's account with a deposit and a withdrawal request.
    function _requested(uint256 amount) internal returns (uint256 idx) {
        idx = _deposit(alice, 50 * VIBES);
        vm.prank(alice);
        settlement.requestWithdrawal(amount);
    }

    function _unrequested(uint256 idx, uint256 amount, bool drain, uint256 requested) internal {
        _settleReverts(
            _slot(_word(idx, 0, 0, 0, amount, drain), 0),
            none,
            0,
            abi.encodeWithSelector(ISettlement.UnrequestedWithdrawal.selector, idx, amount, requested)
        );
    }

    function _refused(uint256[] memory words, uint256 word) internal {
        _settleReverts(words, none, 0, abi.encodeWithSelector(ISettlement.NotCanonical.selector, word));
    }
}
