// An ordered set of blocks by (size, address) that lives inside the blocks: no heap allocation, O(log n), best fit.
#pragma once

#include <cstddef>
#include <cstdint>

namespace torch_npu::memory {

// The links and the key; a Block derives from it.
struct TreeNode {
  TreeNode* parent;
  TreeNode* left;
  TreeNode* right;
  char* data;
  size_t bytes;
};

// A treap: heap order on a hash of the node's own address, so no balance information is stored or maintained.
template <class Node>
class FreeTree {
 public:
  bool empty() const { return root_ == nullptr; }

  void insert(Node* added) {
    TreeNode* node = added;
    TreeNode* parent = nullptr;
    TreeNode** slot = &root_;
    while (*slot != nullptr && priority(*slot) >= priority(node)) {
      parent = *slot;
      slot = less(node, parent) ? &parent->left : &parent->right;
    }
    TreeNode* below = *slot;
    *slot = node;
    node->parent = parent;
    split(below, node);
  }

  void erase(Node* removed) {
    TreeNode* node = removed;
    TreeNode** slot = node->parent == nullptr          ? &root_
                      : node->parent->left == node ? &node->parent->left
                                                   : &node->parent->right;
    join(slot, node->parent, node->left, node->right);
  }

  // The smallest block of at least `bytes`, the lowest address among equals.
  Node* best_fit(size_t bytes) const {
    TreeNode* found = nullptr;
    for (TreeNode* at = root_; at != nullptr;) {
      if (at->bytes >= bytes) {
        found = at;
        at = at->left;
      } else {
        at = at->right;
      }
    }
    return static_cast<Node*>(found);
  }

  Node* largest() const {
    TreeNode* at = root_;
    while (at != nullptr && at->right != nullptr) at = at->right;
    return static_cast<Node*>(at);
  }

  // Calls f(Node*) in order; f may erase the node it is given, and nothing else.
  template <class F>
  void for_each(F f) const {
    for (TreeNode* at = leftmost(root_); at != nullptr;) {
      TreeNode* following = successor(at);
      f(static_cast<Node*>(at));
      at = following;
    }
  }

  // The block after `node` in order.
  static Node* next(const Node* node) { return static_cast<Node*>(successor(node)); }

 private:
  static uint64_t priority(const TreeNode* node) {
    return reinterpret_cast<uintptr_t>(node) * 0x9E3779B97F4A7C15ull;
  }

  static bool less(const TreeNode* a, const TreeNode* b) {
    return a->bytes != b->bytes ? a->bytes < b->bytes : a->data < b->data;
  }

  static TreeNode* leftmost(TreeNode* at) {
    while (at != nullptr && at->left != nullptr) at = at->left;
    return at;
  }

  static TreeNode* successor(const TreeNode* node) {
    if (node->right != nullptr) return leftmost(node->right);
    TreeNode* up = node->parent;
    while (up != nullptr && up->right == node) {
      node = up;
      up = up->parent;
    }
    return up;
  }

  // Makes what is below `tree` the children of `node`.
  static void split(TreeNode* tree, TreeNode* node) {
    TreeNode** lower = &node->left;
    TreeNode** higher = &node->right;
    TreeNode* lower_parent = node;
    TreeNode* higher_parent = node;
    while (tree != nullptr) {
      if (less(tree, node)) {
        *lower = tree;
        tree->parent = lower_parent;
        lower_parent = tree;
        lower = &tree->right;
        tree = tree->right;
      } else {
        *higher = tree;
        tree->parent = higher_parent;
        higher_parent = tree;
        higher = &tree->left;
        tree = tree->left;
      }
    }
    *lower = nullptr;
    *higher = nullptr;
  }

  // Puts everything of `low` and `high` into `slot`.
  static void join(TreeNode** slot, TreeNode* parent, TreeNode* low, TreeNode* high) {
    while (low != nullptr && high != nullptr) {
      TreeNode* taken = priority(low) >= priority(high) ? low : high;
      *slot = taken;
      taken->parent = parent;
      parent = taken;
      if (taken == low) {
        slot = &taken->right;
        low = taken->right;
      } else {
        slot = &taken->left;
        high = taken->left;
      }
    }
    TreeNode* rest = low != nullptr ? low : high;
    *slot = rest;
    if (rest != nullptr) rest->parent = parent;
  }

  TreeNode* root_ = nullptr;
};

}  // namespace torch_npu::memory
