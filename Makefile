generate: ## write generated code anew from proto/
	@scripts/generate
