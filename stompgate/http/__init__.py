"""Floor 4: REST, health, the operators' view and the pages, on FastAPI. What is true of chat, the floors below say."""
