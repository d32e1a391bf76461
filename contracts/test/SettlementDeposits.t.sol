// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Settlement} from "../src/Settlement.sol";
import {ISettlement} from "../src/interfaces/ISettlement.sol";
import {ContractWallet, UnrulyToken} from "./Doubles.sol";
import {Fixture} from "./Fixture.sol";

/// @dev Deposits, direct and relayed, requests and withdrawals, with the attacks on them.
contract SettlementDepositsTest is Fixture {
    uint256 internal constant AMOUNT = 50 * 10 ** 6;

    function test_the_first_deposit_opens_an_account() public {
        vm.expectEmit(true, true, false, true, address(settlement));
        emit ISettlement.AccountOpened(1, alice);
        vm.expectEmit(true, false, false, true, address(settlement));
        emit ISettlement.SessionKeyRequested(1, KEY_COMMIT, block.timestamp + 1 days);
        vm.expectEmit(true, true, false, true, address(settlement));
        emit ISettlement.Deposited(1, alice, AMOUNT);
        uint256 idx = _deposit(alice, AMOUNT);
        ISettlement.Account memory entry = settlement.account(idx);
        assertEq(entry.owner, alice, "owner");
        assertEq(entry.pendingDeposit, AMOUNT, "pending");
        assertEq(entry.pendingKey, KEY_COMMIT, "key");
        assertEq(entry.keyDeadline, block.timestamp + 1 days, "key deadline");
        assertEq(settlement.indexOf(alice), idx, "index");
        assertEq(settlement.nextIdx(), 2, "next index");
        assertEq(token.balanceOf(address(settlement)), AMOUNT, "tokens");
    }

    function test_later_deposits_add_up_and_carry_no_key() public {
        uint256 idx = _deposit(alice, AMOUNT);
        assertEq(_deposit(alice, 1), idx, "same account");
        assertEq(settlement.account(idx).pendingDeposit, AMOUNT + 1, "pending");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidKeyCommit.selector, KEY_COMMIT));
        vm.prank(alice);
        settlement.deposit(1, KEY_COMMIT);
    }

    function test_first_deposits_have_a_minimum_and_a_key() public {
        vm.startPrank(alice);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.DepositTooSmall.selector, 1 * VIBES - 1, 1 * VIBES)
        );
        settlement.deposit(1 * VIBES - 1, KEY_COMMIT);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidKeyCommit.selector, 0));
        settlement.deposit(AMOUNT, 0);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidKeyCommit.selector, FIELD));
        settlement.deposit(AMOUNT, FIELD);
    }

    function test_amounts_have_54_bits() public {
        uint256 idx = _deposit(alice, AMOUNT);
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidAmount.selector, 0));
        settlement.deposit(0, 0);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidAmount.selector, 2 ** 54));
        settlement.depositFor(idx, 2 ** 54);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidAmount.selector, 0));
        settlement.requestWithdrawal(0);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidAmount.selector, 2 ** 54));
        settlement.requestWithdrawal(2 ** 54);
    }

    function test_pending_deposits_stay_below_54_bits() public {
        (UnrulyToken unruly, Settlement other) = _withUnrulyToken();
        vm.startPrank(alice);
        other.deposit(2 ** 54 - 1, KEY_COMMIT);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidAmount.selector, 2 ** 54));
        other.deposit(1, 0);
        assertEq(unruly.balanceOf(address(other)), 2 ** 54 - 1, "tokens");
    }

    function test_anyone_may_deposit_for_an_open_account() public {
        uint256 idx = _deposit(alice, AMOUNT);
        vm.expectEmit(true, true, false, true, address(settlement));
        emit ISettlement.Deposited(idx, bob, 7);
        vm.prank(bob);
        settlement.depositFor(idx, 7);
        assertEq(settlement.account(idx).pendingDeposit, AMOUNT + 7, "pending");
        assertEq(settlement.indexOf(bob), 0, "no account for the payer");
        for (uint256 unknown = 0; unknown <= 2; unknown += 2) {
            vm.expectRevert(abi.encodeWithSelector(ISettlement.UnknownAccount.selector, unknown));
            vm.prank(bob);
            settlement.depositFor(unknown, 7);
        }
    }

    function test_the_tree_has_2_to_the_24_places() public {
        vm.store(address(settlement), _slotOfNextIdx(), bytes32(uint256(2 ** 24 - 1)));
        assertEq(_deposit(alice, AMOUNT), 2 ** 24 - 1, "last place");
        vm.expectRevert(ISettlement.TreeFull.selector);
        vm.prank(bob);
        settlement.deposit(AMOUNT, KEY_COMMIT);
    }

    function test_a_permit_and_an_intent_deposit_for_their_owner() public {
        ISettlement.DepositIntent memory intent = _intent(alice, KEY_COMMIT);
        uint256 idx = _relay(intent, _signIntent(ALICE_KEY, intent, 0), ALICE_KEY);
        assertEq(settlement.account(idx).owner, alice, "owner");
        assertEq(settlement.account(idx).pendingDeposit, AMOUNT, "pending");
        assertEq(settlement.nonces(alice), 1, "nonce");
    }

    function test_a_front_run_permit_is_tolerated() public {
        ISettlement.DepositIntent memory intent = _intent(alice, KEY_COMMIT);
        (uint8 v, bytes32 r, bytes32 s) = _signPermit(ALICE_KEY, intent);
        vm.prank(bob);
        token.permit(alice, address(settlement), AMOUNT, intent.deadline, v, r, s);
        uint256 idx = settlement.depositWithPermit(intent, _signIntent(ALICE_KEY, intent, 0), v, r, s);
        assertEq(settlement.account(idx).pendingDeposit, AMOUNT, "pending");
    }

    function test_a_relayer_cannot_attach_another_key_amount_or_owner() public {
        ISettlement.DepositIntent memory intent = _intent(alice, KEY_COMMIT);
        bytes memory signature = _signIntent(ALICE_KEY, intent, 0);
        intent.keyCommit = 666;
        _refusedIntent(intent, signature);
        intent.keyCommit = KEY_COMMIT;
        intent.amount = AMOUNT + 1;
        _refusedIntent(intent, signature);
        intent.amount = AMOUNT;
        intent.owner = bob;
        _refusedIntent(intent, signature);
    }

    function test_an_intent_is_used_once() public {
        ISettlement.DepositIntent memory intent = _intent(alice, 0);
        _deposit(alice, AMOUNT); // opens the account and leaves an allowance for more
        bytes memory signature = _signIntent(ALICE_KEY, intent, 0);
        _relay(intent, signature, ALICE_KEY);
        _refusedIntent(intent, signature);
    }

    function test_an_intent_is_for_one_settlement() public {
        ISettlement.DepositIntent memory intent = _intent(alice, KEY_COMMIT);
        bytes memory signature = _signIntent(ALICE_KEY, intent, 0);
        settlement = new Settlement(config());
        _refusedIntent(intent, signature);
    }

    function test_an_intent_expires() public {
        ISettlement.DepositIntent memory intent = _intent(alice, KEY_COMMIT);
        bytes memory signature = _signIntent(ALICE_KEY, intent, 0);
        vm.warp(intent.deadline + 1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.IntentExpired.selector, intent.deadline));
        settlement.depositWithPermit(intent, signature, 0, 0, 0);
    }

    function test_an_intent_without_allowance_moves_nothing() public {
        ISettlement.DepositIntent memory intent = _intent(alice, KEY_COMMIT);
        bytes memory signature = _signIntent(ALICE_KEY, intent, 0);
        vm.expectRevert(
            abi.encodeWithSignature(
                "ERC20InsufficientAllowance(address,uint256,uint256)", address(settlement), 0, AMOUNT
            )
        );
        settlement.depositWithPermit(intent, signature, 0, 0, 0);
        assertEq(settlement.nonces(alice), 0, "nonce");
        assertEq(settlement.indexOf(alice), 0, "account");
    }

    function test_a_contract_wallet_signs_intents() public {
        ContractWallet wallet = new ContractWallet(bob);
        token.mint(address(wallet), AMOUNT);
        wallet.call(address(token), abi.encodeCall(token.approve, (address(settlement), AMOUNT)));
        ISettlement.DepositIntent memory intent = _intent(address(wallet), KEY_COMMIT);
        _refusedIntent(intent, _signIntent(ALICE_KEY, intent, 0));
        uint256 idx = settlement.depositWithPermit(intent, _signIntent(BOB_KEY, intent, 0), 0, 0, 0);
        assertEq(settlement.account(idx).owner, address(wallet), "owner");
    }

    function test_an_authorisation_deposits_for_its_author() public {
        (uint8 v, bytes32 r, bytes32 s) = _signAuthorization(KEY_COMMIT, "salt");
        uint256 idx = settlement.depositWithAuthorization(
            alice, AMOUNT, KEY_COMMIT, "salt", 0, type(uint256).max, v, r, s
        );
        assertEq(settlement.account(idx).owner, alice, "owner");
        assertEq(settlement.account(idx).pendingKey, KEY_COMMIT, "key");
        assertEq(settlement.account(idx).pendingDeposit, AMOUNT, "pending");
    }

    function test_an_authorisation_is_for_one_key_and_one_use() public {
        (uint8 v, bytes32 r, bytes32 s) = _signAuthorization(KEY_COMMIT, "salt");
        vm.expectRevert(abi.encodeWithSignature("InvalidAuthorizationSignature()"));
        settlement.depositWithAuthorization(alice, AMOUNT, 666, "salt", 0, type(uint256).max, v, r, s);
        // Nor can it be taken to the token itself: only the payee, the settlement, may present it.
        bytes32 nonce = keccak256(abi.encode(KEY_COMMIT, bytes32("salt")));
        vm.expectRevert(
            abi.encodeWithSignature("CallerNotPayee(address,address)", address(this), address(settlement))
        );
        token.receiveWithAuthorization(
            alice, address(settlement), AMOUNT, 0, type(uint256).max, nonce, v, r, s
        );

        (v, r, s) = _signAuthorization(0, "again");
        _deposit(alice, AMOUNT);
        settlement.depositWithAuthorization(alice, AMOUNT, 0, "again", 0, type(uint256).max, v, r, s);
        nonce = keccak256(abi.encode(uint256(0), bytes32("again")));
        vm.expectRevert(abi.encodeWithSignature("AuthorizationUsedOrCanceled(address,bytes32)", alice, nonce));
        settlement.depositWithAuthorization(alice, AMOUNT, 0, "again", 0, type(uint256).max, v, r, s);
    }

    function test_a_token_that_keeps_a_part_is_refused() public {
        (UnrulyToken unruly, Settlement other) = _withUnrulyToken();
        unruly.keep(100);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.UnexpectedTransfer.selector, AMOUNT, AMOUNT * 99 / 100)
        );
        vm.prank(alice);
        other.deposit(AMOUNT, KEY_COMMIT);
    }

    function test_a_token_that_calls_back_is_refused() public {
        (UnrulyToken unruly, Settlement other) = _withUnrulyToken();
        unruly.callBack(address(other), abi.encodeCall(other.deposit, (AMOUNT, KEY_COMMIT)));
        vm.expectRevert(abi.encodeWithSignature("ReentrancyGuardReentrantCall()"));
        vm.prank(alice);
        other.deposit(AMOUNT, KEY_COMMIT);
    }

    function test_one_key_request_at_a_time() public {
        uint256 idx = _deposit(alice, AMOUNT);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.KeyRequestOutstanding.selector, idx));
        settlement.setSessionKey(2);
        _settleSlot(idx, KEY_COMMIT);
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidKeyCommit.selector, 0));
        settlement.setSessionKey(0);
        settlement.setSessionKey(2);
        assertEq(settlement.account(idx).pendingKey, 2, "key");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.KeyRequestOutstanding.selector, idx));
        settlement.setSessionKey(3);
    }

    function test_one_withdrawal_request_at_a_time() public {
        uint256 idx = _deposit(alice, AMOUNT);
        vm.startPrank(alice);
        vm.expectEmit(true, false, false, true, address(settlement));
        emit ISettlement.WithdrawalRequested(idx, 9, block.timestamp + 1 days);
        settlement.requestWithdrawal(9);
        assertEq(settlement.account(idx).withdrawalDeadline, block.timestamp + 1 days, "deadline");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.WithdrawalOutstanding.selector, idx));
        settlement.requestWithdrawal(1);
    }

    function test_only_owners_request() public {
        vm.startPrank(bob);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotOwner.selector, bob));
        settlement.setSessionKey(1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotOwner.selector, bob));
        settlement.requestWithdrawal(1);
    }

    function test_a_withdrawal_is_paid_once_to_the_owner() public {
        uint256 idx = _deposit(alice, AMOUNT);
        vm.prank(alice);
        settlement.requestWithdrawal(AMOUNT);
        _settleSlot(_word(idx, 0, 0, 0, AMOUNT, false), 0);
        uint256 before = token.balanceOf(alice);
        vm.expectEmit(true, true, false, true, address(settlement));
        emit ISettlement.Withdrawn(idx, alice, AMOUNT);
        vm.prank(bob);
        settlement.withdraw(idx);
        assertEq(token.balanceOf(alice) - before, AMOUNT, "paid");
        vm.expectRevert(ISettlement.NothingToPay.selector);
        settlement.withdraw(idx);
    }

    function _withUnrulyToken() internal returns (UnrulyToken unruly, Settlement other) {
        unruly = new UnrulyToken();
        Settlement.Config memory settings = config();
        settings.token = address(unruly);
        other = new Settlement(settings);
        unruly.mint(alice, 2 ** 60);
        vm.prank(alice);
        unruly.approve(address(other), type(uint256).max);
    }

    /// @dev Finds where `nextIdx` is stored: the only slot that holds a 1 right after deployment is not unique, so
    /// the one is taken whose change shows.
    function _slotOfNextIdx() internal returns (bytes32) {
        for (uint256 slot = 0; slot < 20; ++slot) {
            Settlement probe = new Settlement(config());
            vm.store(address(probe), bytes32(slot), bytes32(uint256(77)));
            if (probe.nextIdx() == 77) return bytes32(slot);
        }
        revert("nextIdx not found");
    }

    function _intent(address owner, uint256 keyCommit) internal returns (ISettlement.DepositIntent memory) {
        if (owner == alice && keyCommit != 0) {
            vm.prank(alice);
            token.approve(address(settlement), 0); // the permit is what counts
        }
        return ISettlement.DepositIntent(owner, AMOUNT, keyCommit, block.timestamp + 1 hours);
    }

    function _relay(ISettlement.DepositIntent memory intent, bytes memory signature, uint256 permitKey)
        internal
        returns (uint256)
    {
        (uint8 v, bytes32 r, bytes32 s) = _signPermit(permitKey, intent);
        vm.prank(bob);
        return settlement.depositWithPermit(intent, signature, v, r, s);
    }

    function _refusedIntent(ISettlement.DepositIntent memory intent, bytes memory signature) internal {
        vm.expectRevert(ISettlement.InvalidIntentSignature.selector);
        settlement.depositWithPermit(intent, signature, 0, 0, 0);
    }

    function _signIntent(uint256 key, ISettlement.DepositIntent memory intent, uint256 nonce)
        internal
        view
        returns (bytes memory)
    {
        bytes32 domainHash = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("VIBES Settlement"),
                keccak256("1"),
                block.chainid,
                address(settlement)
            )
        );
        bytes32 content = keccak256(
            abi.encode(
                keccak256(
                    "DepositIntent(address owner,uint256 amount,uint256 keyCommit,uint256 nonce,uint256 deadline)"
                ),
                intent.owner,
                intent.amount,
                intent.keyCommit,
                nonce,
                intent.deadline
            )
        );
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(key, keccak256(abi.encodePacked("\x19\x01", domainHash, content)));
        return abi.encodePacked(r, s, v);
    }

    function _signPermit(uint256 key, ISettlement.DepositIntent memory intent)
        internal
        view
        returns (uint8, bytes32, bytes32)
    {
        bytes32 content = keccak256(
            abi.encode(
                keccak256(
                    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
                ),
                intent.owner,
                address(settlement),
                intent.amount,
                token.nonces(intent.owner),
                intent.deadline
            )
        );
        return vm.sign(key, keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), content)));
    }

    /// @dev Alice's ERC-3009 authorisation of AMOUNT to the settlement, for this key and salt.
    function _signAuthorization(uint256 keyCommit, bytes32 salt)
        internal
        view
        returns (uint8, bytes32, bytes32)
    {
        bytes32 content = keccak256(
            abi.encode(
                token.RECEIVE_WITH_AUTHORIZATION_TYPEHASH(),
                alice,
                address(settlement),
                AMOUNT,
                0,
                type(uint256).max,
                keccak256(abi.encode(keyCommit, salt))
            )
        );
        return vm.sign(ALICE_KEY, keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), content)));
    }
}
