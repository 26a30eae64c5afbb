//! The TLS side of a connection that has one of its own: whom it believes, and by which certificate it is known.

use std::{fmt, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio_rustls::TlsConnector;

use super::{
    login::{LoginError, Tls},
    provider,
};

/// A connection's own TLS.
pub(super) struct Identity {
    authorities: Option<RootCertStore>,
    own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    pub(super) fn of(tls: &Tls) -> Result<Self, LoginError> {
        let certificates = |pem: &str| {
            let all = CertificateDer::pem_slice_iter(pem.as_bytes());
            let all: Vec<_> = all.collect::<Result<_, _>>().map_err(|_| LoginError::Tls)?;
            match all.is_empty() {
                true => Err(LoginError::Tls),
                false => Ok(all),
            }
        };
        let authorities = tls.ca.as_deref().map(|pem| {
            let mut store = RootCertStore::empty();
            for certificate in certificates(pem)? {
                store.add(certificate).map_err(|_| LoginError::Tls)?;
            }
            Ok(store)
        });
        let own = match (&tls.certificate, &tls.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => {
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes());
                Some((
                    certificates(certificate)?,
                    key.map_err(|_| LoginError::Tls)?,
                ))
            }
            _ => return Err(LoginError::Tls),
        };
        Ok(Self {
            authorities: authorities.transpose()?,
            own,
        })
    }

    /// The TLS side; `usual` are the authorities where it names none.
    ///
    /// # Errors
    /// When certificate and key do not belong together.
    pub(super) fn connector(self, usual: &RootCertStore) -> Result<TlsConnector, rustls::Error> {
        let roots = self.authorities.unwrap_or_else(|| usual.clone());
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder.with_safe_default_protocol_versions()?;
        let builder = builder.with_root_certificates(roots);
        let mut config = match self.own {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
            None => builder.with_no_client_auth(),
        };
        super::plain(&mut config);
        Ok(TlsConnector::from(Arc::new(config)))
    }
}
