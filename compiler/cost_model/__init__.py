"""What a candidate will take, learned from what others took (OSDI'20, 5.2)."""
