"""Floor 3: joins protocol, broker and chat.

``frames.handle`` says what a frame from a peer does; ``delivery.Delivery`` what a stored or relayed message does.
"""
