// Written by policy/ship.sh from policy/; do not edit.

/// The bundle this version ships: the only one that activation accepts.
package enum ShippedBundle {
    package static let digest = "sha256:f81d8db8966b1d6159fc570ca9310c3098a1f2977cb5f8521c265a776c3a2d0d"

    /// Name and content of each file, in byte order of the names.
    package static let files: [(name: String, content: String)] = [
        (
            "10-roles.cedar",
            ###"""
            // What each role may do. Nothing here needs votes or forbids anything: that is 80-guardrails.cedar.

            @id("role.data_scientist.work") @owner("ml_lead") @reason("data scientists ingest documents, train and evaluate")
            permit (
              principal in Forge::Role::"data_scientist",
              action in [
                Forge::Action::"data.add", Forge::Action::"data.read", Forge::Action::"run.submit", Forge::Action::"run.read",
                Forge::Action::"model.read", Forge::Action::"model.put", Forge::Action::"model.evaluate",
                Forge::Action::"receipt.read", Forge::Action::"receipt.replay"
              ],
              resource
            );

            @id("role.data_scientist.own_runs") @owner("ml_lead") @reason("data scientists stop and resume their own runs")
            permit (
              principal in Forge::Role::"data_scientist",
              action in [Forge::Action::"run.cancel", Forge::Action::"run.resume"],
              resource
            ) when { resource has owner && resource.owner == principal };

            @id("role.release_manager.release") @owner("ml_lead") @reason("release managers promote, roll back, load and export models")
            permit (
              principal in Forge::Role::"release_manager",
              action in [
                Forge::Action::"model.promote", Forge::Action::"model.rollback", Forge::Action::"model.export", Forge::Action::"serve.load", Forge::Action::"serve.unload",
                Forge::Action::"approval.request", Forge::Action::"approval.read"
              ],
              resource
            );

            @id("role.release_manager.own_requests") @owner("ml_lead") @reason("who asked for an approval may take the request back")
            permit (
              principal in Forge::Role::"release_manager",
              action == Forge::Action::"approval.withdraw",
              resource
            ) when { resource has requester && resource.requester == principal };

            @id("role.release_manager.look") @owner("ml_lead") @reason("release managers see what they release")
            permit (
              principal in Forge::Role::"release_manager",
              action in [
                Forge::Action::"data.read", Forge::Action::"run.read", Forge::Action::"model.read", Forge::Action::"model.evaluate",
                Forge::Action::"receipt.read", Forge::Action::"receipt.replay"
              ],
              resource
            );

            @id("role.ml_lead.work") @owner("ml_lead") @reason("ML leads answer for runs, models and their serving")
            permit (
              principal in Forge::Role::"ml_lead",
              action in [
                Forge::Action::"data.read", Forge::Action::"run.read", Forge::Action::"run.cancel", Forge::Action::"run.resume",
                Forge::Action::"model.read", Forge::Action::"model.evaluate", Forge::Action::"model.rollback",
                Forge::Action::"serve.load", Forge::Action::"serve.unload", Forge::Action::"receipt.read", Forge::Action::"receipt.replay"
              ],
              resource
            );

            @id("role.ml_lead.vote") @owner("security_officer") @reason("ML leads vote on promotions")
            permit (
              principal in Forge::Role::"ml_lead",
              action in [Forge::Action::"approval.read", Forge::Action::"voting"],
              resource
            );

            @id("role.security_officer.govern") @owner("security_officer") @reason("security officers govern access, votes and applications' keys")
            permit (
              principal in Forge::Role::"security_officer",
              action in [
                Forge::Action::"approval.read", Forge::Action::"voting", Forge::Action::"policy.activate",
                Forge::Action::"appkey.create", Forge::Action::"appkey.revoke", Forge::Action::"appkey.list", Forge::Action::"user.read"
              ],
              resource
            );

            @id("role.security_officer.watch") @owner("security_officer") @reason("security officers read the record of everything")
            permit (
              principal in Forge::Role::"security_officer",
              action in [
                Forge::Action::"audit.read", Forge::Action::"audit.export", Forge::Action::"data.read", Forge::Action::"run.read",
                Forge::Action::"model.read", Forge::Action::"receipt.read", Forge::Action::"receipt.replay"
              ],
              resource
            );

            @id("role.security_officer.seal") @owner("security_officer") @reason("stopping is always one person's decision; officers also unseal")
            permit (
              principal in Forge::Role::"security_officer",
              action in [Forge::Action::"registry.seal", Forge::Action::"registry.unseal", Forge::Action::"run.cancel", Forge::Action::"model.rollback"],
              resource
            );

            @id("role.operator.run") @owner("security_officer") @reason("operators keep the machine running")
            permit (
              principal in Forge::Role::"operator",
              action in [
                Forge::Action::"registry.seal", Forge::Action::"registry.unseal", Forge::Action::"serve.load", Forge::Action::"serve.unload", Forge::Action::"run.read",
                Forge::Action::"run.cancel", Forge::Action::"run.resume", Forge::Action::"model.read", Forge::Action::"store.scrub",
                Forge::Action::"appkey.list"
              ],
              resource
            );

            @id("role.auditor.read") @owner("security_officer") @reason("auditors read everything and change nothing")
            permit (
              principal in Forge::Role::"auditor",
              action in [
                Forge::Action::"audit.read", Forge::Action::"audit.export", Forge::Action::"approval.read",
                Forge::Action::"user.read", Forge::Action::"appkey.list", Forge::Action::"data.read", Forge::Action::"run.read",
                Forge::Action::"model.read", Forge::Action::"receipt.read", Forge::Action::"receipt.replay"
              ],
              resource
            );

            """###
        ),
        (
            "20-everyone.cedar",
            ###"""
            // What every enrolled person may do, whatever the role.

            @id("everyone.ask") @owner("ml_lead") @reason("every enrolled person may ask the models")
            permit (
              principal in Forge::Role::"everyone",
              action in [Forge::Action::"infer", Forge::Action::"models.list"],
              resource
            );

            @id("everyone.own_receipts") @owner("ml_lead") @reason("every person may read the receipts of their own answers")
            permit (
              principal is Forge::User,
              action == Forge::Action::"receipt.read",
              resource
            ) when { resource has user && resource.user == principal };

            @id("everyone.verify") @owner("security_officer") @reason("every enrolled person may verify the record and read rules and recipes")
            permit (
              principal in Forge::Role::"everyone",
              action in [Forge::Action::"audit.verify", Forge::Action::"policy.read", Forge::Action::"recipe.read"],
              resource
            );

            @id("everyone.self") @owner("security_officer") @reason("every person may read their own entry")
            permit (
              principal is Forge::User,
              action == Forge::Action::"user.read",
              resource
            ) when { resource == principal };

            """###
        ),
        (
            "30-services.cedar",
            ###"""
            // What the daemons may do for themselves. What they do for a person is asked in that person's name.

            @id("service.trainer") @owner("security_officer") @reason("the trainer registers data, models and scores, and reads what it works on")
            permit (
              principal == Forge::Service::"trainer",
              action in [
                Forge::Action::"data.add", Forge::Action::"data.read", Forge::Action::"run.read", Forge::Action::"run.start", Forge::Action::"model.read",
                Forge::Action::"model.put", Forge::Action::"model.evaluate", Forge::Action::"model.load"
              ],
              resource
            );

            @id("service.trainer.keys") @owner("security_officer") @reason("the trainer holds the keys of data sets and runs while it works on them")
            permit (
              principal == Forge::Service::"trainer",
              action == Forge::Action::"key.release",
              resource is Forge::Key
            ) when { resource has purpose && ["dataset", "run"].contains(resource.purpose) };

            @id("service.serve") @owner("security_officer") @reason("the server loads the weights it answers with")
            permit (
              principal == Forge::Service::"serve",
              action in [Forge::Action::"model.load", Forge::Action::"model.read"],
              resource
            );

            @id("service.admin") @owner("security_officer") @reason("access control witnesses the log and publishes the policy")
            permit (
              principal == Forge::Service::"admin",
              action in [Forge::Action::"audit.read", Forge::Action::"audit.verify", Forge::Action::"policy.read"],
              resource
            );

            @id("service.registry") @owner("security_officer") @reason("the registry checks its own log, and keeps the votes behind a promotion")
            permit (
              principal == Forge::Service::"registry",
              action in [Forge::Action::"approval.read", Forge::Action::"audit.read", Forge::Action::"audit.verify", Forge::Action::"policy.read", Forge::Action::"model.read"],
              resource
            );

            """###
        ),
        (
            "40-apps.cedar",
            ###"""
            // What an application that holds a key may do: ask, and read the receipts of its own answers.

            @id("app.ask") @owner("ml_lead") @reason("applications ask the models")
            permit (
              principal is Forge::App,
              action in [Forge::Action::"infer", Forge::Action::"models.list"],
              resource
            );

            @id("app.own_receipts") @owner("ml_lead") @reason("applications read the receipts of their own answers")
            permit (
              principal is Forge::App,
              action == Forge::Action::"receipt.read",
              resource
            ) when { resource has app && resource.app == principal };

            """###
        ),
        (
            "80-guardrails.cedar",
            ###"""
            // What no permit can undo. Each forbid names its reason, because the person refused reads it.
            // `context.approval` appears here only, and only in `unless`: more votes never take a permission away.

            @id("guard.disabled_user") @guardrail @owner("security_officer") @reason("this account is disabled")
            forbid (principal is Forge::User, action, resource)
            when { principal.disabled };

            @id("guard.disabled_app") @guardrail @owner("security_officer") @reason("this application is disabled")
            forbid (principal is Forge::App, action, resource)
            when { principal.disabled };

            @id("guard.personal") @guardrail @owner("security_officer") @reason("only a person who signed in may do this")
            forbid (principal, action in Forge::Action::"personal", resource)
            unless { principal is Forge::User && ["sshsig", "peercred"].contains(context.authMethod) };

            @id("guard.promotion_is_for_release_managers") @guardrail @owner("security_officer") @reason("only a release manager promotes a model")
            forbid (principal, action == Forge::Action::"model.promote", resource)
            unless { principal in Forge::Role::"release_manager" };

            @id("guard.trainer_may_not_promote") @guardrail @owner("security_officer") @reason("who trained a model does not promote it")
            forbid (principal, action == Forge::Action::"model.promote", resource)
            unless { resource has trainedBy && resource.trainedBy != principal };

            @id("guard.promotion_needs_heldout_report") @guardrail @owner("ml_lead") @reason("a model without a report on held-out documents is not promoted")
            forbid (principal, action == Forge::Action::"model.promote", resource)
            unless { resource has hasHeldoutReport && resource.hasHeldoutReport && resource has heldoutMicrobitsPerByte };

            @id("guard.promotion_may_not_worsen") @guardrail @owner("ml_lead") @reason("a model that scores worse on held-out documents than the one in production is not promoted")
            forbid (principal, action == Forge::Action::"model.promote", resource)
            when {
              resource has productionMicrobitsPerByte && resource has heldoutMicrobitsPerByte &&
              resource.heldoutMicrobitsPerByte > resource.productionMicrobitsPerByte
            };

            @id("guard.four_eyes") @guardrail @owner("security_officer") @reason("needs the signatures of a security officer and an ML lead, neither of them the requester")
            forbid (principal, action in [Forge::Action::"model.promote", Forge::Action::"model.delete", Forge::Action::"model.export"], resource)
            unless {
              context has approval && context.approval.digestMatches && context.approval.count >= 2 &&
              context.approval.roles.contains("security_officer") && context.approval.roles.contains("ml_lead")
            };

            @id("guard.policy_is_signed") @guardrail @owner("security_officer") @reason("a policy bundle is activated with a security officer's signature over its digest")
            forbid (principal, action == Forge::Action::"policy.activate", resource)
            unless {
              context has approval && context.approval.digestMatches && context.approval.count >= 1 &&
              context.approval.roles.contains("security_officer")
            };

            @id("guard.requester_may_not_vote") @guardrail @owner("security_officer") @reason("who asks for an approval does not vote on it")
            forbid (principal, action in Forge::Action::"voting", resource)
            unless {
              resource has requester && resource has requesterPerson && principal is Forge::User &&
              resource.requester != principal && resource.requesterPerson != principal.person
            };

            @id("guard.one_vote_a_person") @guardrail @owner("security_officer") @reason("a person votes once, whatever accounts and roles they have")
            forbid (principal, action == Forge::Action::"approval.vote", resource)
            when { resource has votedPersons && principal is Forge::User && resource.votedPersons.contains(principal.person) };

            @id("guard.weights_stay_with_daemons") @guardrail @owner("security_officer") @reason("weights in the clear go to the trainer and the server only")
            forbid (principal, action == Forge::Action::"model.load", resource)
            unless { principal in [Forge::Service::"trainer", Forge::Service::"serve"] };

            @id("guard.keys_stay_with_the_trainer") @guardrail @owner("security_officer") @reason("keys of data sets and runs go to the trainer only")
            forbid (principal, action == Forge::Action::"key.release", resource)
            unless { principal == Forge::Service::"trainer" };

            """###
        ),
        (
            "schema.cedarschema",
            ###"""
            // What Forge's policies speak of. Attributes of resources are stated by the daemon that owns the resource.
            namespace Forge {
              // ---- who -------------------------------------------------------------------------------------------------------
              entity Role;
              // `person` is one human being: two accounts of one person count once.
              entity User in [Role] = { person: String, disabled: Bool };
              entity Service;
              entity App = { owner?: String, disabled: Bool };

              // ---- what ------------------------------------------------------------------------------------------------------
              entity Model = {
                name?: String,
                version?: Long,
                digest?: String,
                trainedBy?: User,
                // A report on documents the training never saw; lower is better.
                hasHeldoutReport?: Bool,
                heldoutMicrobitsPerByte?: Long,
                // The held-out score of the model in production; absent when there is none.
                productionMicrobitsPerByte?: Long,
              };
              entity Dataset = { owner?: User };
              entity Run = { owner?: User };
              entity Approval = { action?: String, requester?: User, requesterPerson?: String, votedPersons?: Set<String> };
              entity Policy = { digest?: String };
              entity Registry;
              entity Key = { purpose?: String };
              entity Receipt = { user?: User, app?: App };
              entity Log;

              // ---- the moment ------------------------------------------------------------------------------------------------
              // Facts of a filed approval, computed by forge-admin from signed votes; nobody can send them.
              type Votes = {
                // The votes are for exactly this request and this content.
                digestMatches: Bool,
                // Distinct persons other than the requester.
                count: Long,
                // Roles of the voters.
                roles: Set<String>,
                ageSeconds: Long,
              };
              type Moment = { authMethod: String, sessionAgeSeconds?: Long, door?: String, reason?: String, alias?: String, approval?: Votes };

              // ---- groups of actions -----------------------------------------------------------------------------------------
              // Needs votes; decided by forge-admin alone.
              action privileged;
              // Only people do these, never a daemon or an application.
              action personal;

              // ---- data and runs ---------------------------------------------------------------------------------------------
              action "data.add" appliesTo { principal: [User, Service], resource: [Dataset], context: Moment };
              action "data.read" appliesTo { principal: [User, Service], resource: [Dataset], context: Moment };
              action "run.submit" in [personal] appliesTo { principal: [User], resource: [Run], context: Moment };
              action "run.read" appliesTo { principal: [User, Service], resource: [Run], context: Moment };
              // The trainer starts what a person submitted.
              action "run.start" appliesTo { principal: [Service], resource: [Run], context: Moment };
              action "recipe.read" appliesTo { principal: [User], resource: [Registry], context: Moment };
              action "run.cancel" in [personal] appliesTo { principal: [User], resource: [Run], context: Moment };
              action "run.resume" in [personal] appliesTo { principal: [User], resource: [Run], context: Moment };

              // ---- models ----------------------------------------------------------------------------------------------------
              action "model.read" appliesTo { principal: [User, Service], resource: [Model], context: Moment };
              action "model.put" appliesTo { principal: [User, Service], resource: [Model], context: Moment };
              action "model.evaluate" appliesTo { principal: [User, Service], resource: [Model], context: Moment };
              // Hand out the decrypted weights, to a daemon.
              action "model.load" appliesTo { principal: [Service], resource: [Model], context: Moment };
              // Hand the weights in the clear to a person, who takes them away.
              action "model.export" in [privileged, personal] appliesTo { principal: [User], resource: [Model], context: Moment };
              action "model.promote" in [privileged, personal] appliesTo { principal: [User], resource: [Model], context: Moment };
              action "model.rollback" in [personal] appliesTo { principal: [User], resource: [Model], context: Moment };
              action "model.delete" in [privileged, personal] appliesTo { principal: [User], resource: [Model], context: Moment };

              // ---- serving ---------------------------------------------------------------------------------------------------
              action "serve.load" in [personal] appliesTo { principal: [User], resource: [Model], context: Moment };
              action "serve.unload" in [personal] appliesTo { principal: [User], resource: [Model], context: Moment };
              action "infer" appliesTo { principal: [User, App], resource: [Model], context: Moment };
              action "models.list" appliesTo { principal: [User, App], resource: [Registry, Model], context: Moment };
              action "receipt.read" appliesTo { principal: [User, App], resource: [Receipt], context: Moment };
              action "receipt.replay" in [personal] appliesTo { principal: [User], resource: [Receipt], context: Moment };

              // ---- keeping ---------------------------------------------------------------------------------------------------
              action "registry.seal" in [personal] appliesTo { principal: [User], resource: [Registry], context: Moment };
              action "registry.unseal" in [personal] appliesTo { principal: [User], resource: [Registry], context: Moment };
              action "store.scrub" in [personal] appliesTo { principal: [User], resource: [Registry], context: Moment };
              action "key.release" appliesTo { principal: [Service], resource: [Key], context: Moment };
              action "audit.read" appliesTo { principal: [User, Service], resource: [Log], context: Moment };
              action "audit.verify" appliesTo { principal: [User, Service], resource: [Log], context: Moment };
              action "audit.export" in [personal] appliesTo { principal: [User], resource: [Log], context: Moment };

              // ---- governing -------------------------------------------------------------------------------------------------
              action "approval.read" appliesTo { principal: [User, Service], resource: [Approval], context: Moment };
              action "approval.request" in [personal] appliesTo { principal: [User], resource: [Approval], context: Moment };
              action voting in [personal];
              action "approval.vote", "approval.veto" in [voting] appliesTo { principal: [User], resource: [Approval], context: Moment };
              action "approval.withdraw" in [personal] appliesTo { principal: [User], resource: [Approval], context: Moment };
              action "policy.read" appliesTo { principal: [User, Service], resource: [Policy], context: Moment };
              action "policy.activate" in [privileged, personal] appliesTo { principal: [User], resource: [Policy], context: Moment };
              action "appkey.create" in [personal] appliesTo { principal: [User], resource: [App, Registry], context: Moment };
              action "appkey.revoke" in [personal] appliesTo { principal: [User], resource: [App], context: Moment };
              action "appkey.list" in [personal] appliesTo { principal: [User], resource: [Registry], context: Moment };
              action "user.read" in [personal] appliesTo { principal: [User], resource: [User, Role], context: Moment };
            }

            """###
        ),
    ]
}
