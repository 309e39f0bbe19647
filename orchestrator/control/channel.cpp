#include "orchestrator/control/channel.h"

#include "core/error.h"
#include "orchestrator/control/access.h"
#include "orchestrator/control/address.h"
#include "parallel/checkpoint/files.h"

namespace katman {

Channel::Channel(const Reach& reach) {
  const bool tls = !reach.ca_file.empty();
  if (!reach.token_file.empty()) {
    require_usage(tls || is_loopback(reach.address.substr(0, reach.address.rfind(':'))),
                  "the token in {} would travel to {} readable by others: name the certificate to "
                  "check it by with --ca",
                  reach.token_file, reach.address);
    authorization_ = "Bearer " + read_token(reach.token_file);
  }
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (tls) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = read_text(reach.ca_file);
    credentials = grpc::SslCredentials(options);
  }
  channel_ = grpc::CreateChannel(reach.address, credentials);
}

void Channel::prepare(grpc::ClientContext& context) const {
  if (!authorization_.empty()) context.AddMetadata("authorization", authorization_);
}

}  // namespace katman
