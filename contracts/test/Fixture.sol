// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {PartnerRegistry} from "../src/PartnerRegistry.sol";
import {Settlement} from "../src/Settlement.sol";
import {VibesToken} from "../src/VibesToken.sol";
import {ISettlement} from "../src/interfaces/ISettlement.sol";
import {IPartnerRegistry} from "../src/interfaces/IPartnerRegistry.sol";
import {IVibesToken} from "../src/interfaces/IVibesToken.sol";
import {Base} from "./Base.sol";
import {SwitchVerifier} from "./Doubles.sol";

/// @dev A deployment with two partners and wallets that hold tokens. The test itself stands in for the timelock.
abstract contract Deployment is Base {
    uint256 internal constant VIBES = 10 ** 6;
    uint256 internal constant ALICE_KEY = 0xA11CE;
    uint256 internal constant BOB_KEY = 0xB0B;
    uint256 internal constant KEY_COMMIT = 12345;
    uint256 internal constant MAX_BPS = 5_000;
    uint256 internal constant FIELD =
        21888242871839275222246405745257275088548364400416034343698204186575808495617;

    address internal alice = vm.addr(ALICE_KEY);
    address internal bob = vm.addr(BOB_KEY);
    address internal guardian = address(0x6A4D);
    address internal operator = address(0x0931);
    address internal treasury = address(0x7EA5);
    address internal receiptSigner = address(0x5165);
    address internal partnerOnePayout = address(0xF1);
    address internal partnerTwoPayout = address(0xF2);

    VibesToken internal token;
    PartnerRegistry internal registry;
    Settlement internal settlement;
    SwitchVerifier internal verifier;
    SwitchVerifier internal exitVerifier;
    uint256 internal fakeRoot = 1000;
    uint256 internal timelockDelay = 100 days;

    function _deploy() internal {
        vm.warp(1_700_000_000);
        token = new VibesToken(address(this), new IVibesToken.Grant[](0));
        IPartnerRegistry.InitialPartner[] memory partners = new IPartnerRegistry.InitialPartner[](2);
        partners[0] = IPartnerRegistry.InitialPartner("one", partnerOnePayout, 3_000);
        partners[1] = IPartnerRegistry.InitialPartner("two", partnerTwoPayout, 1_234);
        registry = new PartnerRegistry(address(this), MAX_BPS, partners);
        verifier = new SwitchVerifier(4);
        exitVerifier = new SwitchVerifier(0);
        settlement = new Settlement(config());
        _fund(alice);
        _fund(bob);
    }

    /// @dev What the settlement asks its owner, a timelock, at deployment.
    function getMinDelay() external view returns (uint256) {
        return timelockDelay;
    }

    function config() internal view returns (Settlement.Config memory) {
        address[] memory batchVerifiers = new address[](1);
        batchVerifiers[0] = address(verifier);
        return Settlement.Config({
            token: address(token),
            registry: address(registry),
            treasury: treasury,
            owner: address(this),
            guardian: guardian,
            operator: operator,
            receiptSigner: receiptSigner,
            feeBps: 1_500,
            burnBps: 500,
            poolBps: 1_000,
            serviceDeadline: 1 days,
            minFirstDeposit: 1 * VIBES,
            exitVerifier: address(exitVerifier),
            batchVerifiers: batchVerifiers
        });
    }

    function _fund(address wallet) internal {
        token.mint(wallet, 1_000_000 * VIBES);
        vm.prank(wallet);
        token.approve(address(settlement), type(uint256).max);
    }

    function _deposit(address wallet, uint256 amount) internal returns (uint256 idx) {
        uint256 keyCommit = settlement.indexOf(wallet) == 0 ? KEY_COMMIT : 0;
        vm.prank(wallet);
        return settlement.deposit(amount, keyCommit);
    }

    function _word(
        uint256 idx,
        uint256 charge,
        uint256 reward,
        uint256 deposited,
        uint256 withdrawn,
        bool drain
    ) internal pure returns (uint256) {
        return idx | charge << 24 | reward << 78 | deposited << 132 | withdrawn << 186
            | (drain ? uint256(1) << 240 : 0);
    }

    function _charge(uint256 idx, uint256 charge) internal pure returns (uint256[] memory words) {
        words = new uint256[](8);
        words[0] = _word(idx, charge, 0, 0, 0, false);
    }

    function _slot(uint256 w0, uint256 w1) internal pure returns (uint256[] memory words) {
        words = new uint256[](8);
        (words[0], words[1]) = (w0, w1);
    }

    function _partnerWords(uint256 id, uint256 gross) internal pure returns (uint256[] memory words) {
        words = new uint256[](1);
        words[0] = id << 64 | gross;
    }

    /// @dev A header from the present root to a root not used before.
    function _header(uint256 total) internal returns (ISettlement.Header memory) {
        return ISettlement.Header({
            oldRoot: settlement.stateRoot(),
            newRoot: ++fakeRoot,
            commitment: 7,
            receiptsRoot: keccak256("receipts"),
            receiptsTotal: total
        });
    }

    function _settle(uint256[] memory words, uint256[] memory partnerWords, uint256 total) internal {
        _settleAs(_header(total), words, partnerWords);
    }

    function _settleAs(
        ISettlement.Header memory header,
        uint256[] memory words,
        uint256[] memory partnerWords
    ) internal {
        uint256[8] memory proof;
        vm.prank(operator, operator);
        settlement.settleBatch(header, words, partnerWords, proof);
    }

    /// @dev One charge of one account, all of it by one partner.
    function _settleCharge(uint256 idx, uint256 amount, uint256 partnerId) internal {
        _settle(_charge(idx, amount), _partnerWords(partnerId, amount), amount);
    }

    /// @dev Deposits, and lets a batch put the account into the tree with all of it.
    function _openAccount(address wallet, uint256 amount) internal returns (uint256 idx) {
        idx = _deposit(wallet, amount);
        _settleSlot(_word(idx, 0, 0, amount, 0, false), KEY_COMMIT);
    }

    function _settleSlot(uint256 w0, uint256 w1) internal {
        _settle(_slot(w0, w1), new uint256[](0), 0);
    }

    /// @dev The same, expected to revert with `data`: the header must be made before the expectation.
    function _settleReverts(
        uint256[] memory words,
        uint256[] memory partnerWords,
        uint256 total,
        bytes memory data
    ) internal {
        ISettlement.Header memory header = _header(total);
        vm.expectRevert(data);
        _settleAs(header, words, partnerWords);
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
}

/// @dev A fresh deployment for every test.
abstract contract Fixture is Deployment {
    function setUp() public virtual {
        _deploy();
    }
}
